"""A Delta table in place: its log lies in the dataset folder, with paths relative to it, so the folder can be moved."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any

import pyarrow as pa

from hardset.pipeline.dataset.tables.publication import (
    RUN_ID,
    TRIES,
    Publication,
    changes,
    load,
    properties,
    refusals,
)
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import DataFile, Manifest
from hardset.schemas.rows.contract import described_schema
from hardset.schemas.rows.user_columns import recorded_columns

CONFIGURATION = {"delta.deletedFileRetentionDuration": "interval 36500 days"}
"""Age at which VACUUM removes what the table does not list: here card and earlier runs."""

_LOG = "_delta_log/"


def publish_delta(folder: Folder, manifest: Manifest) -> Publication:
    """Makes the rows of a finished run the Delta table in `folder`, in one commit; does nothing where it did already.

    Idempotent by a Delta transaction id, the run's. Raises JobError where deltalake is not installed, RunError where
    the store or the library refuses.
    """
    errors = load("deltalake.exceptions", extra="delta")
    with refusals(folder.name):
        for left in reversed(range(TRIES)):
            started = bool(folder.list(_LOG))
            try:
                return (_publish_next if started else _create)(folder, manifest)
            except errors.DeltaError as error:
                other_came_first = isinstance(error, errors.CommitFailedError) or bool(folder.list(_LOG)) != started
                if not left or not other_came_first:
                    raise
    raise AssertionError("the last try returns or raises")


def _publish_next(folder: Folder, manifest: Manifest) -> Publication:
    table = load("deltalake", extra="delta").DeltaTable(folder.place, storage_options=_options())
    if table.transaction_version(_transaction_id(manifest)) is not None:
        return Publication(folder.name, _version_of(table, manifest), 0, 0, False)
    return _replace(table, folder, manifest)


def _version_of(table: Any, manifest: Manifest) -> str:
    """Version that a run was published as; the newest, where the log does not go back to it any more."""
    return next(
        (str(commit["version"]) for commit in table.history() if commit.get(RUN_ID) == manifest.run_id),
        str(table.version()),
    )


def _create(folder: Folder, manifest: Manifest) -> Publication:
    transaction = load("deltalake.transaction", extra="delta")
    files = manifest.data_files
    transaction.create_table_with_add_actions(
        folder.place,
        _schema(manifest),
        [_added(file, manifest) for file in files],
        name=manifest.job["name"],
        configuration=CONFIGURATION,
        storage_options=_options(),
        commit_properties=_commit(manifest),
    )
    return Publication(folder.name, "0", len(files), 0, True)


def _replace(table: Any, folder: Folder, manifest: Manifest) -> Publication:
    transaction = load("deltalake.transaction", extra="delta")
    known = {field.name for field in table.schema().fields}
    if new := [field for field in _schema(manifest).fields if field.name not in known]:
        table.alter.add_columns(new)
        table.update_incremental()
    files = {file.path: file for file in manifest.data_files}
    present = pa.table(table.get_add_actions())["path"].to_pylist()
    added, removed = changes(list(files), present)
    now = _milliseconds(manifest)
    actions = [_added(files[path], manifest) for path in added]
    actions += [transaction.RemoveAction(path, True, now, partition_values={}) for path in removed]
    table.create_write_transaction(actions, "append", table.schema(), commit_properties=_commit(manifest))
    # The library leaves the table at the version that it was read at.
    return Publication(folder.name, str(table.version() + 1), len(added), len(removed), True)


def _added(file: DataFile, manifest: Manifest) -> Any:
    return load("deltalake.transaction", extra="delta").AddAction(
        path=file.path,
        size=file.bytes,
        partition_values={},
        modification_time=_milliseconds(manifest),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _commit(manifest: Manifest) -> Any:
    deltalake = load("deltalake", extra="delta")
    return deltalake.CommitProperties(
        custom_metadata=properties(manifest),
        max_commit_retries=0,  # the library would put the files beside those of whoever came first
        app_transactions=[deltalake.Transaction(_transaction_id(manifest), 1)],
    )


def _transaction_id(manifest: Manifest) -> str:
    return f"hardset:{manifest.run_id}"


def _schema(manifest: Manifest) -> Any:
    described = described_schema(manifest.contract, "comment", recorded_columns(manifest.user_columns))
    return load("deltalake", extra="delta").Schema.from_arrow(described)


def _milliseconds(manifest: Manifest) -> int:
    return int(datetime.fromisoformat(manifest.finished).timestamp() * 1000)


def _options() -> dict[str, str]:
    """An endpoint that was given as http:// is meant so; delta-rs wants to be told twice."""
    return {"allow_http": "true"} if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://") else {}
