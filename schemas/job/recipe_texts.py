"""Whether the text of a recipe in the records stands for what a job declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.schemas.job.operations.table import DECLARED

_OPERATIONS = {one.model_fields["name"].default: one for one in DECLARED}


def agrees(declared: Any, text: Any) -> bool:
    """Whether a recipe text holds all that a job declares; it holds code versions and digests beside that.

    Settings that an operation was given after its first version are left out of texts at their default.
    """
    if isinstance(declared, dict) and isinstance(text, dict):
        return all(
            agrees(value, text[key]) if key in text else _is_left_out(declared, key) for key, value in declared.items()
        )
    if isinstance(declared, list) and isinstance(text, list):
        return len(declared) == len(text) and all(map(agrees, declared, text))
    return bool(declared == text)


def _is_left_out(declared: Mapping[str, Any], key: str) -> bool:
    known = _OPERATIONS.get(str(declared.get("name")))
    if known is None or key not in known.added:
        return False
    return bool(declared[key] == known.model_fields[key].default)
