"""Publication in any catalogue: the files that belong in the table, and the result of putting them there."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.pipeline.storage.stores import reason
from hardset.schemas.errors import JobError, RunError, UserError
from hardset.schemas.records.run import Manifest

RUN_ID, CONTENT = "hardset.run-id", "hardset.content-sha256"
"""Properties of a table version: the run it holds, and the digest over that run's rows."""

TRIES = 20
"""Tries of a commit: each time that another writer came first, the files to add and to remove are found anew."""


@dataclass(frozen=True)
class Publication:
    """Result of publishing one run."""

    table: str
    """Place of the table, without credentials."""
    version: str
    """Snapshot id (Iceberg) or version number (Delta) that the run was published as, whatever came after it."""
    added: int
    """Number of files that this call added."""
    removed: int
    """Number of files taken out of the table because the run no longer lists them; they stay in the folder."""
    new: bool
    """False where the table held the run already and nothing was written."""


def run_to_publish(folder: Folder) -> Manifest:
    """The newest run of a dataset folder.

    Raises JobError where no run has finished, RunError where the newest lacks shards or has no row.
    """
    manifest = latest_manifest(folder)
    if manifest is None:
        raise JobError(f"{folder.name}: no finished run here; `hardset generate JOB` makes one")
    if manifest.status != "complete":
        raise RunError(
            f"{folder.name}: run {manifest.run_id} lacks shards that failed; start the job again to make them, "
            "then publish"
        )
    if not manifest.data_files:
        raise RunError(f"{folder.name}: run {manifest.run_id} has no row to publish")
    return manifest


def properties(manifest: Manifest) -> dict[str, str]:
    """Properties of a table version that name the run it holds."""
    return {RUN_ID: manifest.run_id, CONTENT: manifest.content_sha256}


def changes(wanted: Sequence[str], present: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths to add and to remove, so that of those `present` in a table only the `wanted` are left, and all of them."""
    kept, asked = set(present), set(wanted)
    return [path for path in wanted if path not in kept], sorted(kept - asked)


def load(module: str, *, extra: str) -> Any:
    """An optional library. Raises JobError, which says how to install it, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module
        raise JobError(f"--{extra} needs {missing}, which is not installed: pip install 'hardset[{extra}]'") from None


@contextmanager
def refusals(table: str, act: str = "be published to") -> Iterator[None]:
    """Turns what a catalogue's library raises into a RunError of one sentence: that `table` cannot `act`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise RunError(f"{public_name(table)}: cannot {act}: {reason(error)}") from error
