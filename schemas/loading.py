"""Reading job files: YAML, `--set` overrides, and errors that name key, value and mend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import JobError
from schemas.job import Job


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """The validated job of a YAML file, with `key.path=value` overrides laid over it.

    Raises JobError with one line per fault.
    """
    return parse_job(read_job_file(path), overrides, name=str(path))


def read_job_file(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises JobError where there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise JobError(f"{path}: no such job file; `hardset init {path}` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read as a job file: {error}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise JobError(f"{path}:{place} is not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(document, dict):
        raise JobError(f"{path}: holds {_kind(document)}; a job file is a mapping of keys such as name and source")
    return document


def parse_job(document: dict[str, Any], overrides: Sequence[str] = (), *, name: str = "job") -> Job:
    """The validated job of a mapping. Raises JobError with one line per fault."""
    for override in overrides:
        document = _override(document, override)
    try:
        return Job.model_validate(document)
    except ValidationError as error:
        raise JobError("\n".join(f"{name}: {line}" for line in _sentences(error))) from None


def _override(document: Any, override: str) -> Any:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise JobError(f"--set {override}: wants KEY.PATH=VALUE, such as recipes.0.eps=4/255")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise JobError(f"--set {override}: the value is not YAML") from None
    return _laid_over(document, path.split("."), value, override)


def _laid_over(node: Any, keys: list[str], value: Any, override: str) -> Any:
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise JobError(f"--set {override}: {head} is not a position in a list of {len(node)}")
        return [_laid_over(item, rest, value, override) if i == int(head) else item for i, item in enumerate(node)]
    if node is not None and not isinstance(node, dict):
        raise JobError(f"--set {override}: {head} is below {node!r}, which has no keys")
    mapping = node or {}
    return {**mapping, head: _laid_over(mapping.get(head), rest, value, override)}


def _sentences(error: ValidationError) -> list[str]:
    """One line per fault: key path, what is wanted, what it got. A choice's branches are folded to its best."""
    lines: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        path = _key_path(fault["loc"])
        if fault["type"] == "extra_forbidden":
            line = f"unknown key{_nearest(path, fault)}"
        elif fault["type"] == "missing":
            line = "missing; it is required"
        elif fault["type"] == "value_error":
            line = str(fault["ctx"]["error"])
            if line.startswith("wants"):
                line = f"got {_short(fault['input'])}; {line}"
        else:
            line = f"got {_short(fault['input'])}; {_wanted(fault)}"
        lines.setdefault(path, line)
    return [f"{path}: {line}" if path else line for path, line in lines.items()]


def _key_path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _nearest(path: str, fault: Any) -> str:
    return ""


def _wanted(fault: Any) -> str:
    return str(fault["msg"])


def _short(value: Any) -> str:
    return repr(value)[:60]


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
