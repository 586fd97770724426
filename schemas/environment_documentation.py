"""The table of all environment variables that hardset reads."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from hardset.schemas.environment import CACHE, KEY_PASSWORD, Variable
from hardset.schemas.limits import Limits, variable
from hardset.schemas.retries import VARIABLES, Retries


def variables() -> tuple[Variable, ...]:
    """Every variable, single ones first."""
    limits = {key: variable(key) for key in Limits.model_fields}
    return (CACHE, KEY_PASSWORD, *_of_record(Retries, VARIABLES), *_of_record(Limits, limits))


def environment_table() -> str:
    """Markdown table with one line per variable."""
    lines = ["| variable | unset | meaning |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.default} | {one.meaning} |" for one in variables()]
    return "\n".join(lines) + "\n"


def _of_record(kind: type[BaseModel], names: dict[str, str]) -> Iterator[Variable]:
    for key, name in names.items():
        field = kind.model_fields[key]
        yield Variable(name, f"{field.default:g}", " ".join((field.description or "").split()))
