"""Loading of job files: `--set` overrides, validation, and errors with key, value and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.documents import parse_yaml, read_job_file
from hardset.schemas.reading.faults import sentences, show

JOB = TypeVar("JOB", bound=Spec)


def load_job(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Validated job from a YAML file, with `key.path=value` overrides applied.

    Raises JobError with one line per fault: file, key path, the value given, the value expected.
    """
    return load_job_file(path, overrides, Job)


def load_job_file(path: str | Path, overrides: Sequence[str], kind: type[JOB]) -> JOB:
    """Validated job file of any kind, as `load_job` and `parse_job` read jobs."""
    return parse_document(read_job_file(path), overrides, kind, name=str(path))


def parse_job(document: dict[str, Any], overrides: Sequence[str] = (), *, name: str = "job") -> Job:
    """Validated job from a mapping. Raises JobError with one line per fault, each beginning with `name`."""
    return parse_document(document, overrides, Job, name=name)


def parse_document(document: dict[str, Any], overrides: Sequence[str], kind: type[JOB], *, name: str) -> JOB:
    """Validated job file of any kind, as `load_job` and `parse_job` read jobs."""
    document = overlaid(document, overrides)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        lines = sentences(error, kind, document)
        raise JobError("\n".join(f"{name}: {line}" for line in lines)) from None


def overlaid(document: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A job file's content with `key.path=value` overrides laid over it. Raises JobError for one that does not fit."""
    for override in overrides:
        document = _overridden(document, override)
    return document


def _overridden(document: Any, override: str) -> Any:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise JobError(f"--set {override}: wants KEY.PATH=VALUE, such as recipes.0.eps=4/255")
    return _laid_over(document, keys, parse_yaml(text, name=f"--set {path}"), override)


def _laid_over(node: Any, keys: list[str], value: Any, override: str) -> Any:
    """Copy of `node` with `value` set under `keys`; missing sections are created, and a list can grow by one at its
    end."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not (head.isascii() and head.isdigit()) or int(head) > len(node):
            raise JobError(f"--set {override}: {head} is not a position in a list of {len(node)}; positions start at 0")
        position = int(head)
        before = node[position] if position < len(node) else None
        return [*node[:position], _laid_over(before, rest, value, override), *node[position + 1 :]]
    if node is not None and not isinstance(node, dict):
        raise JobError(f"--set {override}: there is no key {head} below {show(node)}")
    mapping = node or {}
    return {**mapping, head: _laid_over(mapping.get(head), rest, value, override)}
