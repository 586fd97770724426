"""Listing of the files that the published tables of a dataset folder hold, in any version still readable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote

from hardset.pipeline.dataset.tables.iceberg import HOME, NOTES
from hardset.pipeline.dataset.tables.publication import load, refusals
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError

_DELTA = "_delta_log/"
_METADATA = re.compile(r"/metadata/[^/]*\.metadata\.json$")


def published_files(folder: Folder) -> set[str]:
    """Relative paths of the files that Delta and Iceberg tables in the folder list; empty where there is no table.

    Files that a table took out stay listed in its earlier versions, and so here. Raises RunError where a table cannot
    be read, because then its files are not known.
    """
    try:
        return {*_of_delta(folder), *_of_iceberg(folder)}
    except JobError as error:  # an optional library is not installed
        raise RunError(f"{folder.name}: holds a table, and the files that it lists are not known: {error}") from error


def _of_delta(folder: Folder) -> Iterator[str]:
    """Paths in all commits of the log; actions that add a file give it relative to the table, percent-encoded."""
    paths = folder.list(_DELTA)
    if any(path.endswith(".parquet") for path in paths):  # checkpoints: the log before them may be gone
        table = load("deltalake", extra="delta").DeltaTable(folder.place)
        yield from (str(action["path"]) for action in table.get_add_actions(flatten=True).to_pylist())
    for path in paths:
        if path.endswith(".json"):
            for line in folder.read(path).splitlines():
                action = json.loads(line)
                if "add" in action:
                    yield unquote(action["add"]["path"])


def _of_iceberg(folder: Folder) -> Iterator[str]:
    """Paths in all snapshots of each table's newest metadata, which are absolute."""
    start = folder.place if "://" in folder.place else f"file://{folder.place}"
    places = sorted(_metadata(folder, start))
    if not places:
        return
    tables = load("pyiceberg.table", extra="iceberg")
    settings = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"} if "://" in folder.place else {}
    for place in places:
        with refusals(place, "be read, so the files that it lists are not known"):
            table = tables.StaticTable.from_metadata(place, settings)
            for snapshot in table.metadata.snapshots:
                for manifest in snapshot.manifests(table.io):
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                        yield entry.data_file.file_path.removeprefix(start).lstrip("/")


def _metadata(folder: Folder, start: str) -> set[str]:
    """Places of the newest metadata of each table: in the folder, or where its catalogue keeps them."""
    newest: dict[str, str] = {}
    for path in folder.list(f"{HOME}/"):
        if _METADATA.search(path):
            newest[str(PurePosixPath(path).parent)] = f"{start}/{path}"  # names start with a number that grows
    noted = {str(json.loads(folder.read(path))["metadata"]) for path in folder.list(NOTES)}
    return {*newest.values(), *(place for place in noted if not place.startswith(f"{start}/{HOME}/"))}
