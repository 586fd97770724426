"""An Iceberg table over the data files of a dataset folder; its paths are absolute, as Iceberg's are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardset.pipeline.dataset.tables.publication import (
    RUN_ID,
    TRIES,
    Publication,
    changes,
    load,
    properties,
    refusals,
)
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import described_schema
from hardset.schemas.rows.user_columns import recorded_columns

HOME = "_hardset/iceberg"
"""Place in the dataset folder of metadata, and of the catalogue where none is named."""
NOTES = f"{HOME}/published/"
"""One JSON file for each table that the folder's rows were published to, wherever its metadata lie."""
TABLE = "hardset.rows"
"""Namespace and name of the table where none is given."""


@dataclass(frozen=True)
class Target:
    """A table in a catalogue."""

    catalogue: str
    """URI of a catalogue, or the name of one in pyiceberg's own configuration."""
    table: str
    """namespace.name"""


def parse_target(text: str) -> Target:
    """`CATALOG/NAMESPACE.TABLE`, where CATALOG is a URI or a configured name. Raises JobError for anything else."""
    catalogue, _, table = text.rpartition("/")
    parts = table.split(".")
    named = catalogue.strip("/") and not catalogue.rstrip("/").endswith(":")
    if not named or len(parts) < 2 or not all(parts):
        raise JobError(
            f"--catalog: {public_name(text)!r} names no table; write CATALOG/NAMESPACE.TABLE, such as "
            "sqlite:////srv/catalog.db/images.hardened or https://host/catalog/images.hardened"
        )
    return Target(catalogue, table)


def publish_iceberg(folder: Folder, manifest: Manifest, target: Target | None = None) -> Publication:
    """Makes the rows of a finished run an Iceberg table, in one snapshot; does nothing where it did already.

    Without `target` the catalogue is an SQLite file in the dataset folder, which must then be on a disk. Idempotent by
    the run id in the snapshots' properties. Raises JobError where pyiceberg is not installed or a catalogue must be
    named, RunError where catalogue or store refuse.
    """
    errors = load("pyiceberg.exceptions", extra="iceberg")
    chosen = target or Target(_embedded(folder), TABLE)
    shown = f"{public_name(chosen.catalogue)}/{chosen.table}"
    with refusals(shown), _catalogue(chosen.catalogue, folder) as catalogue:
        for left in reversed(range(TRIES)):
            try:
                table = _open(catalogue, folder, manifest, chosen, embedded=target is None)
                held = _snapshot_of(table, manifest)
                if held is not None:
                    return Publication(shown, held, 0, 0, False)
                added, removed = _commit(table, folder, manifest)
            except (errors.CommitFailedException, errors.TableAlreadyExistsError):
                if not left:
                    raise
                continue
            _note(folder, shown, table.metadata_location)
            return Publication(shown, str(_snapshot_of(table, manifest)), added, removed, True)
    raise AssertionError("the last try returns or raises")


def _embedded(folder: Folder) -> str:
    load("sqlalchemy", extra="iceberg")
    if "://" in folder.place:
        raise JobError(
            f"{folder.name}: an object store cannot hold the SQLite catalogue; name one with --catalog "
            "CATALOG/NAMESPACE.TABLE"
        )
    home = Path(folder.place) / HOME
    home.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home / 'catalog.db'}"


@contextmanager
def _catalogue(name: str, folder: Folder) -> Iterator[Any]:
    """The catalogue, closed at the end, as an SQLite file would stay open."""
    load_catalog = load("pyiceberg.catalog", extra="iceberg").load_catalog
    log = logging.getLogger("pyiceberg.io.pyarrow")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every file that image bytes have no statistics, as is meant
    # fsspec finds the credentials and endpoint that the dataset was written with.
    settings = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"} if "://" in folder.place else {}
    try:
        with closing(
            load_catalog("hardset", uri=name, **settings) if "://" in name else load_catalog(name, **settings)
        ) as catalogue:
            yield catalogue
    finally:
        log.setLevel(level)


def _open(catalogue: Any, folder: Folder, manifest: Manifest, target: Target, *, embedded: bool) -> Any:
    """The table, made where there is none, with all columns of the run."""
    identifier = tuple(target.table.split("."))
    home = f"{_url(folder)}/{HOME}/{'/'.join(identifier)}"
    schema = described_schema(manifest.contract, "doc", recorded_columns(manifest.user_columns))
    try:
        known = catalogue.table_exists(identifier)
        table = catalogue.load_table(identifier) if known else None
        moved = embedded and table is not None and table.location() != home
    except FileNotFoundError:
        moved = embedded
        if not moved:
            raise
    if moved:
        raise RunError(
            f"{folder.name}: the Iceberg table here was made for another place, and Iceberg keeps absolute paths; "
            f"remove {HOME} and publish again"
        )
    if table is None:
        catalogue.create_namespace_if_not_exists(identifier[:-1])
        # A catalogue with a warehouse has an opinion of its own on where metadata go.
        place = None if "warehouse" in catalogue.properties else home
        return catalogue.create_table(identifier, schema, location=place)
    with table.update_schema() as update:
        update.union_by_name(schema)
    return table


def _commit(table: Any, folder: Folder, manifest: Manifest) -> tuple[int, int]:
    """Adds and removes files in one snapshot; returns how many.

    Raises pyiceberg's CommitFailedException where another writer came first. The library's own tries would put the
    files beside those of that writer.
    """
    settings = {**table.metadata.properties, "commit.retry.num-retries": "0"}
    table.metadata = table.metadata.model_copy(update={"properties": settings})  # of this handle, not of the table
    present = {task.file.file_path: task.file for task in table.scan().plan_files()}
    wanted = [f"{_url(folder)}/{file.path}" for file in manifest.data_files]
    added, removed = changes(wanted, list(present))
    with table.transaction() as change:
        if not removed:
            change.add_files(added, snapshot_properties=properties(manifest), check_duplicate_files=False)
            return len(added), 0
        # add_files and delete in one transaction would be two snapshots.
        footers = load("pyiceberg.io.pyarrow", extra="iceberg").parquet_files_to_data_files
        with change.update_snapshot(snapshot_properties=properties(manifest)).overwrite() as snapshot:
            for file in footers(table.io, change.table_metadata, iter(added)):
                snapshot.append_data_file(file)
            for path in removed:
                snapshot.delete_data_file(present[path])
    return len(added), len(removed)


def _note(folder: Folder, table: str, metadata: str) -> None:
    """Leaves word of the table in the folder, so that files that it lists are known to be in use."""
    record = canonical_json({"metadata": metadata, "table": table})
    folder.write(f"{NOTES}{sha256_hex(table)[:12]}.json", record.encode() + b"\n")


def _url(folder: Folder) -> str:
    return folder.place if "://" in folder.place else f"file://{folder.place}"


def _snapshot_of(table: Any, manifest: Manifest) -> str | None:
    """Id of the snapshot that a run was published as; None where it was not."""
    found = (shot for shot in table.snapshots() if shot.summary)
    held = [one for one in found if one.summary.additional_properties.get(RUN_ID) == manifest.run_id]
    return str(held[-1].snapshot_id) if held else None
