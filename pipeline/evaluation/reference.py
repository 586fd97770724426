"""Tables of docs/evaluation.md that are rendered from the code: settings, thresholds of warnings, corruptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from hardset.pipeline.evaluation.doubt_table import DOUBTS
from hardset.schemas.job.evaluation import EvaluatedModel, EvaluationJob, Threat
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from hardset.schemas.reading.settings import meaning_of, taken_by


def setting_table(kind: type[BaseModel]) -> str:
    """Markdown table with one line per key of a record."""
    return setting_table_of(kind, without=())


def setting_table_of(kind: type[BaseModel], without: Collection[str]) -> str:
    """Markdown table with one line per key of a record but some."""
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name in (name for name in kind.model_fields if name not in without):
        cells = (f"`{name}`", taken_by(kind, name), default_cell(kind, name), meaning_of(kind, name))
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def default_cell(kind: type[BaseModel], name: str) -> str:
    """Default of a key as tables tell it."""
    field = kind.model_fields[name]
    return "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))


def _shown(default: object) -> str:
    if isinstance(default, BaseModel):
        return "see generate"
    if isinstance(default, tuple | dict):
        return ", ".join(map(str, default)) or "none"
    return "unset" if default is None else str(default)


def job_tables() -> str:
    """Markdown tables of the keys of an evaluation's job file, of its models and of its threats."""
    parts = ((EvaluationJob, "The job"), (EvaluatedModel, "Each of `models`"), (Threat, "Each of `threats`"))
    return "\n".join(f"**{title}**\n\n{setting_table(kind)}" for kind, title in parts)


def warning_table() -> str:
    """Markdown table with one line per warning."""
    lines = ["| warning | given where | what it means |", "|---|---|---|"]
    lines += [f"| `{doubt.kind}` | {doubt.given} | {doubt.meaning} |" for doubt in DOUBTS]
    return "\n".join(lines) + "\n"


def corruption_table() -> str:
    """Markdown table with one line per corruption and set of strengths."""
    lines = ["| corruption | strength | set | severity 1 | 2 | 3 | 4 | 5 |", "|---|---|---|---|---|---|---|---|"]
    for name, corruption in CORRUPTIONS.items():
        for number, (key, five) in enumerate((("cifar", corruption.cifar), ("imagenet", corruption.imagenet))):
            head = f"| {'' if number else f'`{name}`'} | {'' if number else corruption.strength} | {key} | "
            lines.append(head + " | ".join(map(_number, five)) + " |")
    return "\n".join(lines) + "\n"


def _number(strength: Any) -> str:
    return ", ".join(f"{one:g}" for one in (strength if isinstance(strength, tuple) else (strength,)))
