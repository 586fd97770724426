"""Seals of records, the SHA-256 of their JSON, so that a changed one is not believed; and their time."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from hardset.pipeline.storage.folder import Folder
from hardset.schemas.base import Spec
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import RunError
from hardset.schemas.rows.contract import VERSIONS

SEALED_CONTRACTS = VERSIONS[1:]
"""Versions of the row contract whose runs sealed their records."""
_SEAL = re.compile(rb',"seal":"([0-9a-f]{64})"\}\n\Z')
RECORD = TypeVar("RECORD", bound=Spec)


def now() -> str:
    """Time as records tell it: UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sealed(record: Spec) -> bytes:
    """The record as one line of JSON with its seal."""
    text = record.model_dump_json()
    return f'{text[:-1]},"seal":"{sha256_hex(text)}"}}\n'.encode()


def read_record(folder: Folder, path: str, kind: type[RECORD]) -> RECORD | None:
    """The record in a file; None where there is no such file. Raises as `parse_record` does."""
    try:
        return parse_record(folder, path, folder.read(path), kind)
    except FileNotFoundError:
        return None


def unsealed(content: bytes) -> bytes:
    """The JSON that a record's seal is the digest of; all of it where there is no seal."""
    seal = _SEAL.search(content)
    return content if seal is None else content[: seal.start()] + b"}"


def is_sealed(content: bytes) -> bool:
    """Whether a record ends in a seal, true or false."""
    return _SEAL.search(content) is not None


def _is_older_than_seals(content: bytes, kind: type[Spec]) -> bool:
    """Whether a record is one of row contract 1.0: those that name no contract held their required fields alone."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return True  # it is no record at all, as its reader says
    if not isinstance(document, dict):
        return True
    if "contract" in kind.model_fields:
        return document.get("contract") not in SEALED_CONTRACTS  # of later ones its reader says that they are unknown
    return all(field.is_required() for name, field in kind.model_fields.items() if name in document)


def parse_record(folder: Folder, path: str, content: bytes, kind: type[RECORD]) -> RECORD:
    """The record that `content`, read from `path`, holds.

    Raises RunError where it was changed after it was written, or is no such record.
    """
    seal = _SEAL.search(content)
    if seal is not None:
        content = content[: seal.start()] + b"}"
        if sha256_hex(content).encode() != seal[1]:
            raise RunError(f"{folder.name}: {path} was changed after it was written, as its seal shows")
    elif not _is_older_than_seals(content, kind):
        raise RunError(f"{folder.name}: {path} was changed after it was written: it has lost its seal")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise RunError(
            f"{folder.name}: {path} is not a {kind.__name__.lower()} of this version of hardset"
            f" ({place + ': ' if place else ''}{fault['msg']})"
        ) from error
