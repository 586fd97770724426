"""Queries the rows of a run by SQL conditions: DuckDB over the files listed in the manifest.

Only the columns that a query needs are fetched. DuckDB gets nothing but the table: it may open no file, see no
environment variable and load no extension, so a condition can neither read nor write anything but the rows.
"""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from hardset.pipeline.dataset.files.scan import StoredFile, UnreadableFileError, batches
from hardset.pipeline.reporting.candidates import Candidate
from hardset.pipeline.reporting.examples import CleanPixels, Example, load
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.limits import Limits, variable
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import CONTRACT_VERSION, IMAGE, arrow_schema, columns_of
from hardset.schemas.rows.user_columns import recorded_columns

_PLACE = re.compile(r"\n+LINE \d+:")
_SETTINGS = {"threads": 1, "python_enable_replacements": False, "temp_directory": ""}
"""DuckDB settings; one thread keeps the rows in the dataset's order."""
_NO_FILE = {
    f"{kind}Exception"
    for kind in ("Parser", "Binder", "Catalog", "Permission", "Conversion", "OutOfRange", "OutOfMemory", "Interrupt")
}
"""DuckDB errors that are caused by the condition, and by no file."""
_LET_GO_SECONDS = 1.0
_LOCKS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@dataclass(frozen=True)
class FoundRows:
    """Rows that meet a condition."""

    rows: list[dict[str, Any]]
    """The first matching rows, in the dataset's order."""
    matching: int
    """Number of all matching rows."""


def names(manifest: Manifest) -> tuple[str, ...]:
    """Columns of a run that can be queried: all but the image."""
    columns = columns_of(CONTRACT_VERSION, recorded_columns(manifest.user_columns))
    return tuple(column.name for column in columns if column.type != IMAGE)


def find(folder: Folder, manifest: Manifest, *, where: str | None, limit: int, columns: Sequence[str]) -> FoundRows:
    """Finds the first `limit` rows of a run that meet a condition, with the given columns.

    Raises JobError if `where` is not a condition on the rows or DuckDB is missing, RunError if a file cannot be read.
    """
    duckdb = duckdb_library()
    with tables(rows=(folder, manifest)) as connection:
        try:
            # A relation accepts a single expression: no second statement, no further clause.
            chosen = connection.table("rows").filter("true" if where is None else where)
            matching = chosen.aggregate("count(*)").fetchall()[0][0]
            quoted = ", ".join(f'"{name}"' for name in columns)
            return FoundRows(chosen.select(quoted).limit(limit).to_arrow_table().to_pylist(), matching)
        except duckdb.Error as error:
            if type(error).__name__ not in _NO_FILE:  # the cause may be a file
                check_readable(folder, manifest)
            raise _refused(error) from error


def ask(folder: Folder, manifest: Manifest, query: str) -> pa.Table:
    """The answer to a query over the table `rows`: a run without its images.

    Raises JobError where `query` is none that can be answered or DuckDB is missing, RunError where a file cannot be
    read.
    """
    duckdb = duckdb_library()
    with tables(rows=(folder, manifest)) as connection:
        try:
            answer = connection.sql(query)
            return pa.table({}) if answer is None else answer.to_arrow_table()
        except duckdb.Error as error:
            if type(error).__name__ not in _NO_FILE:  # then it may be a file's
                check_readable(folder, manifest)
            raise JobError(f"sql: {_reason(error)}; wants a query over the table rows") from error


@contextmanager
def tables(**named: tuple[Folder, Manifest]) -> Iterator[Any]:
    """Yields a DuckDB connection that sees runs as tables of these names, and nothing else.

    Raises JobError if DuckDB is missing.
    """
    duckdb = duckdb_library()
    opened: list[weakref.ref[StoredFile]] = []
    try:
        with duckdb.connect(":memory:", config=_SETTINGS) as connection:
            for name, (folder, manifest) in named.items():
                files = [StoredFile(folder, file) for file in manifest.data_files]
                opened += map(weakref.ref, files)
                connection.register(name, _dataset(files, manifest))
                del files
            for lock in _LOCKS:
                connection.execute(lock)
            with _limited(connection):
                yield connection
            for name in named:
                connection.unregister(name)
    finally:
        _let_go(opened)


@contextmanager
def _limited(connection: Any) -> Iterator[None]:
    """Ends a query that takes longer than it may. Raises JobError then."""
    seconds = Limits.from_environment().query_seconds
    late = Timer(seconds, connection.interrupt)
    late.daemon = True
    late.start()
    try:
        yield
    except JobError as error:
        if not late.is_alive() and type(error.__cause__).__name__ == "InterruptException":
            raise JobError(
                f"the query was ended after {seconds:g} s; make it simpler, or set {variable('query_seconds')} higher"
            ) from error.__cause__
        raise
    finally:
        late.cancel()


def _let_go(opened: Sequence[weakref.ref[StoredFile]]) -> None:
    """Waits until Arrow's threads, which read ahead, hold none of these files any more.

    A thread that hands a Python object back while the interpreter shuts down ends the process by std::terminate.
    """
    deadline = time.monotonic() + _LET_GO_SECONDS
    while any(file() is not None for file in opened) and time.monotonic() < deadline:
        time.sleep(0.001)


def examples(folder: Folder, manifest: Manifest, row_ids: Sequence[str], clean: CleanPixels) -> list[Example]:
    """Loads these rows with their images, in the given order; rows with unreadable images are left out.

    Only the row groups that hold the rows are read in full. Raises RunError if the files cannot be searched.
    """
    wanted = set(row_ids)
    found: dict[str, Candidate] = {}
    for file in manifest.data_files:
        if len(found) == len(wanted):
            break
        try:
            for batch in batches(folder, file, ["row_id"]):
                for at, row_id in enumerate(batch.columns.column(0).to_pylist(), batch.start):
                    if row_id in wanted:
                        found.setdefault(row_id, Candidate(row_id, "", -1, False, file.path, at))
        except UnreadableFileError as error:
            raise _unreadable(folder, error) from error
    return load(folder, manifest, [found[row_id] for row_id in row_ids if row_id in found], clean)


def _schema(manifest: Manifest) -> pa.Schema:
    schema = arrow_schema(manifest.classes, user=recorded_columns(manifest.user_columns)).remove_metadata()
    return pa.schema([schema.field(name) for name in names(manifest)])


def _dataset(stored: Sequence[StoredFile], manifest: Manifest) -> ds.Dataset:
    # Columns are fetched one by one: bulk read-ahead would also fetch the images between them.
    options = ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)
    form = ds.ParquetFileFormat(default_fragment_scan_options=options)
    files = [form.make_fragment(pa.PythonFile(file, mode="r")) for file in stored]
    return ds.FileSystemDataset(files, _schema(manifest), form)


def check_readable(folder: Folder, manifest: Manifest) -> None:
    """Raises RunError, naming the file, if the columns of a run cannot be read."""
    try:
        for file in manifest.data_files:
            for _ in batches(folder, file, names(manifest)):
                pass
    except UnreadableFileError as error:
        raise _unreadable(folder, error) from error


def _refused(error: Exception) -> JobError:
    return JobError(f"--where: {_reason(error)}; wants a condition on the columns, such as margin > -0.1")


def _reason(error: Exception) -> str:
    return " ".join(_PLACE.split(str(error))[0].split()).rstrip("!.")


def _unreadable(folder: Folder, error: UnreadableFileError) -> RunError:
    return RunError(f"{folder.name}: {error}; `hardset verify` names every fault")


def duckdb_library() -> Any:
    """The module duckdb. Raises JobError if it is not installed."""
    try:
        import duckdb  # noqa: PLC0415
    except ImportError:
        raise JobError("duckdb, which looks into datasets, is not installed: pip install 'hardset[inspect]'") from None
    return duckdb
