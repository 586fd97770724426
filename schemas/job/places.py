"""Places that a job names: files, folders and URLs, by their key path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardset.schemas.base import Spec
from hardset.schemas.job.sources import FROM_SOURCE

_KEYS = ("path", "weights", "classes")
"""Keys whose text is a place; `source.classes` may be from_source instead."""


def relative_places(job: Spec) -> list[tuple[str, str]]:
    """Key path and value of every place that means a file only together with the folder that a process works in."""
    found = places(job.model_dump(mode="json"))
    return [(key, value) for key, value in found if "://" not in value and not Path(value).is_absolute()]


def places(node: Any, path: str = "") -> list[tuple[str, str]]:
    """Key path and value of every file or folder that a job names."""
    if isinstance(node, list):
        return [place for i, item in enumerate(node) for place in places(item, f"{path}{i}.")]
    if not isinstance(node, dict):
        return []
    here = [(f"{path}{k}", v) for k, v in node.items() if k in _KEYS and isinstance(v, str) and v != FROM_SOURCE]
    inner = ((k, v) for k, v in node.items() if k != "arguments")  # what a factory takes is its own affair
    return here + [place for k, v in inner for place in places(v, f"{path}{k}.")]
