"""Checks of the statement of a run: it fits its digest, its manifest, and every file that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hardset.pipeline.dataset.provenance.card import CARD_FILES
from hardset.pipeline.dataset.provenance.environment import is_of_this_version
from hardset.pipeline.dataset.provenance.lineage import START_DIGEST
from hardset.pipeline.dataset.provenance.statement import (
    MANIFEST_DIGEST,
    manifest_digest,
    manifest_path,
    statement,
    statement_path,
)
from hardset.pipeline.dataset.records.ledger import RUNS
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.rows.contract import VERSIONS

FIRST_CONTRACT = "1.2"
"""Version of the row contract since which every run has a statement, over all its records."""

Digests = dict[str, dict[str, str]]


def has_statement(manifest: Manifest) -> bool:
    """Whether the version of hardset that wrote the manifest wrote a statement of all its records as well."""
    return VERSIONS.index(manifest.contract) >= VERSIONS.index(FIRST_CONTRACT)


def statement_faults(folder: Folder, manifest: Manifest, plan: Plan | None) -> Iterator[str]:
    """Faults of the statement of a run, one sentence part each; none for runs of versions that wrote no statement."""
    if manifest.statement_sha256 is None:
        if has_statement(manifest):
            yield "has no digest in the manifest, which names one in this version"
        return
    content = read(folder, statement_path(manifest.run_id))
    if content is None:
        yield "is missing"
        return
    if sha256_hex(content) != manifest.statement_sha256:
        yield "its SHA-256 is not the one in the manifest"
    document = _json(content)
    subjects, records = _digests(document, "subject"), _byproducts(document)
    if subjects is None or records is None:
        yield "is no in-toto statement"
        return
    yield from _data_faults(subjects, manifest)
    yield from _record_faults(folder, manifest, subjects, records)
    if plan is not None and is_of_this_version(manifest):
        told = {name: one for name, one in records.items() if name not in _quarantine(manifest)}
        if has_statement(manifest) and json.loads(json.dumps(statement(plan, manifest, told))) != document:
            yield "says something else of job, inputs or run than plan and manifest"


def card_digests(folder: Folder, manifest: Manifest) -> dict[str, str]:
    """SHA-256 of the card's files by path as the statement of a run has them; empty where it tells none."""
    content = read(folder, statement_path(manifest.run_id))
    records = _byproducts(_json(content)) if content is not None else None
    return {name: one["sha256"] for name, one in (records or {}).items() if name in CARD_FILES and "sha256" in one}


def read(folder: Folder, path: str) -> bytes | None:
    """The content of a file; None where there is none."""
    try:
        return folder.read(path)
    except FileNotFoundError:
        return None


def _data_faults(subjects: Digests, manifest: Manifest) -> Iterator[str]:
    own = manifest_path(manifest.run_id)
    told = {name: one.get("sha256") for name, one in subjects.items() if name != own}
    files = {file.path: file.sha256 for file in manifest.data_files}
    for name in sorted(told.keys() | files.keys()):
        if name not in files:
            yield f"its subject {name} is not in the manifest"
        elif told.get(name) != files[name]:
            what = "has another digest than in the manifest" if name in told else "is not among its subjects"
            yield f"{name} {what}"


def _record_faults(folder: Folder, manifest: Manifest, subjects: Digests, records: Digests) -> Iterator[str]:
    if not has_statement(manifest):
        return
    home, own = f"{RUNS}/{manifest.run_id}", manifest_path(manifest.run_id)
    if subjects.get(own, {}).get(MANIFEST_DIGEST) != manifest_digest(folder.read(own)):
        yield "is not the statement of this manifest"
    wanted = {f"{home}/plan.json", f"{home}/summary.json", *CARD_FILES}
    for name in sorted(wanted - records.keys()):
        yield f"does not name {name}"
    for path, digest in records.items():
        if path in CARD_FILES or path in _quarantine(manifest):  # which are checked by themselves
            continue
        content = read(folder, path)
        if content is None:
            yield f"{path}, which it names, is missing"
        elif not {digest.get("sha256"), digest.get(START_DIGEST)} & set(_possible(path, content)):
            yield f"{path} was changed since, as its digest there shows"


def _possible(path: str, content: bytes) -> Iterator[str]:
    """Digests that a file may have had: a start of a run that lost the output to this one may have noted its end."""
    yield sha256_hex(content)
    if "/openlineage" in path:
        yield sha256_hex(b"".join(content.splitlines(keepends=True)[:-1]))


def _quarantine(manifest: Manifest) -> set[str]:
    return {output.quarantine.path for output in manifest.outputs if output.quarantine is not None}


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _byproducts(document: Any) -> Digests | None:
    try:
        return _digests(document["predicate"]["runDetails"], "byproducts")
    except (KeyError, TypeError):
        return None


def _digests(document: Any, key: str) -> Digests | None:
    """Digests of a list of resources by name; None where it is none."""
    try:
        found = {item["name"]: item["digest"] for item in document[key]}
    except (KeyError, TypeError):
        return None
    whole = len(found) == len(document[key]) and all(isinstance(one, Mapping) for one in found.values())
    return found if whole and all(isinstance(name, str) for name in found) else None
