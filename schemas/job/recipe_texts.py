"""Whether the text of a recipe in the records stands for what a job declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.schemas.job.operations.table import BY_NAME
from hardset.schemas.job.recipes import UNMEASURED


def name_and_norm(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Name of a recipe's kind or attack, and of an attack's norm where it has one."""
    if recipe["kind"] != "attack":
        return (str(recipe["kind"]),)
    return (str(recipe["name"]), *([str(recipe["norm"])] if "norm" in recipe else []))


def agrees(declared: Any, text: Any) -> bool:
    """Whether a recipe text holds all that a job declares; it holds code versions and digests beside that.

    Settings that an operation was given after its first version are left out of texts at their default. Jobs hold them
    where the operation is built in; where it is a user's own they were left out of the job, too. An attack's `chain` is
    left out where it is true.
    """
    if isinstance(declared, dict) and isinstance(text, dict):
        return all(
            agrees(value, text[key]) if key in text else _is_left_out(declared, key) for key, value in declared.items()
        )
    if isinstance(declared, list) and isinstance(text, list):
        return len(declared) == len(text) and all(map(agrees, declared, text))
    return bool(declared == text)


def _is_left_out(declared: Mapping[str, Any], key: str) -> bool:
    if declared.get("kind") == "attack":
        return key == "chain" and bool(declared[key])
    if declared.get("kind") == "sample":
        return key == "admit" and declared[key] != UNMEASURED  # gates are not in texts: they change no row
    known = BY_NAME.get(str(declared.get("name")))
    return known is not None and known.is_left_out(key, declared[key])
