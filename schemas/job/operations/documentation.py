"""The augmentation operations and their settings as tables: for `hardset augmentations` and for the docs."""

from __future__ import annotations

from typing import Any

from hardset.schemas.extensions import KnownName
from hardset.schemas.job.operations.base import GROUP, OperationSettings
from hardset.schemas.job.operations.table import BY_NAME
from hardset.schemas.reading.settings import Setting, facts, setting_of

OPERATION_NAMES = KnownName(tuple(BY_NAME), GROUP)


def summary_of(operation: type[OperationSettings]) -> str:
    """What an operation does: the first paragraph of its docstring."""
    return " ".join((operation.__doc__ or "").partition("\n\n")[0].split())


def family_of(operation: type[OperationSettings]) -> str:
    """Family of a built-in operation: the file that declares it."""
    return operation.__module__.rpartition(".")[2]


def settings_of(operation: type[OperationSettings]) -> tuple[Setting, ...]:
    """The settings of an operation: its own in the order of declaration, then `p`."""
    fields = operation.model_fields
    order = [*(name for name in fields if name not in ("name", "p")), "p"]
    return tuple(setting_of(operation, name) for name in order)


def facts_of(name: str, operation: type[OperationSettings]) -> dict[str, Any]:
    """An operation and its settings for machines."""
    return {
        "name": name,
        "family": family_of(operation),
        "summary": summary_of(operation),
        "reference": operation.reference,
        "code": operation.code,
        "flattens": operation.flattens,
        "settings": facts(settings_of(operation)),
    }


def operation_table() -> str:
    """Markdown: one line per operation with its settings and their defaults."""
    lines = ["| operation | what it does | settings and defaults |", "|---|---|---|"]
    for name, operation in BY_NAME.items():
        given = "; ".join(f"`{s.name}` {s.shown}" for s in settings_of(operation) if s.name != "p" or s.shown != "1")
        lines.append(f"| `{name}` | {summary_of(operation)} | {given} |")
    return "\n".join(lines) + "\n"
