"""Logical date of a run, and its placeholder in a job's paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field

from hardset.schemas.errors import JobError

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_DATED = ("path", "weights")
"""Keys whose value may contain `{date}`."""


def _date_text(value: Any) -> Any:
    """Date as text; YAML parses an unquoted date to a date object."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str) or not is_date(value):
        raise ValueError("wants a date as YYYY-MM-DD, such as 2026-11-25")
    return value


def is_date(text: str) -> bool:
    """Whether a text is a calendar date, YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text  # week dates and 20261125 are read too
    except ValueError:
        return False


Day = Annotated[str, BeforeValidator(_date_text), Field(json_schema_extra={"format": "date"})]
"""Calendar date, YYYY-MM-DD."""


def logical_date(text: str, time_zone: str | None, at: datetime) -> str:
    """Date given by `--logical-date`, YYYY-MM-DD; `auto` is the date at the moment `at` in the time zone (None: UTC).

    Raises JobError for an invalid date, an unknown time zone, or a time zone without `auto`.
    """
    if text == "auto":
        return at.astimezone(_zone("UTC" if time_zone is None else time_zone)).date().isoformat()
    if not is_date(text):
        raise JobError(f"--logical-date: got {text!r}; wants a date such as 2026-11-25, or auto")
    if time_zone is not None:
        raise JobError("--time-zone: a date that is given needs none; leave it out, or give --logical-date auto")
    return text


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown, absolute or malformed, or a folder of zones
        raise JobError(
            f"--time-zone: got {name!r}; wants a name of the IANA time zone database, such as Europe/Berlin "
            "(a system without that database needs pip install tzdata)"
        ) from None


def with_date(document: Mapping[str, Any]) -> dict[str, Any]:
    """Job document with every `{date}` in its paths and weights replaced by its `logical_date`.

    Raises ValueError, whose message begins with the key, for another placeholder, and for `{date}` without a date.
    """
    for key, text in _paths(document):
        for name in _PLACEHOLDER.findall(text):
            if name != "date":
                raise ValueError(f"{key}: holds {{{name}}}; wants no placeholder but {{date}}")
            if document.get("logical_date") is None:
                raise ValueError(
                    f"{key}: holds {{date}}, and there is no date to put there; give --logical-date 2026-11-25 or "
                    "auto, or set logical_date"
                )
    day = document.get("logical_date")
    return {key: _filled(value, str(day)) for key, value in document.items()}


def _paths(node: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Key path and value of every file or folder in a job."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in _DATED and isinstance(value, str):
                yield f"{above}{key}", value
            elif key != "arguments":  # what a factory takes is its own affair
                yield from _paths(value, f"{above}{key}.")
    elif isinstance(node, list | tuple):
        for position, item in enumerate(node):
            yield from _paths(item, f"{above}{position}.")


def _filled(node: Any, day: str) -> Any:
    if isinstance(node, Mapping):
        return {key: _filled_value(key, value, day) for key, value in node.items()}
    return [_filled(item, day) for item in node] if isinstance(node, list | tuple) else node


def _filled_value(key: Any, value: Any, day: str) -> Any:
    if key in _DATED and isinstance(value, str):
        return value.replace("{date}", day)
    return value if key == "arguments" else _filled(value, day)
