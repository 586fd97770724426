"""A run laid out anew as a view of it: checked against the run's records, made once, and kept up with later runs.

The unit is the data file, whose name no other bears. Before the files of one are written its record says which they
will be, and afterwards what they hold; so that an export that was cut off is gone on with, and leaves nothing behind.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.dataset.views.layouts import LAYOUTS, Files, Layout, Piece
from hardset.pipeline.storage.folder import Folder, in_parallel
from hardset.pipeline.storage.nesting import lies_in, where
from hardset.schemas.digests import content_sha256, image_sha256, sha256_hex
from hardset.schemas.errors import JobError, RunError, one_line
from hardset.schemas.records.run import DataFile, Manifest, Output

RECORD = "export.json"
"""Record of a view, written last: the run it shows, and its content digest."""
PIECES = "_export/"
"""One record for each data file, with size and digest of every file that its rows are in."""
HOLDER = "export"


@dataclass(frozen=True)
class Exported:
    """Result of an export."""

    rows: int
    files: int
    """Number of files that hold rows."""
    made: int
    """Number of data files that were laid out now."""
    kept: int
    """Number of data files whose rows were there, as their digests show."""
    removed: int
    """Number of files taken away, of rows that the run does not hold."""


def export(
    folder: Folder, manifest: Manifest, to: str, view: Folder, on_file: Callable[[int, int], None] = lambda *_: None
) -> Exported:
    """Makes `view` show exactly the rows of a run of `folder`, in the layout `to`.

    Every row is read back from what was written, and its id, label and pixels held against the run's records. What an
    earlier export wrote is kept where its digests are right. `on_file` hears how many data files are done of how many.

    Raises JobError where `view` holds something else, RunError where the run's files are not those of its records, or
    storage refuses; and of those HeldError where another export is at work there.
    """
    layout = LAYOUTS[to]
    _check_place(folder, view, to)
    with hold_lease(view, HOLDER):
        _put(view, RECORD, {"hardset": "export", "to": to, "run_id": None})
        outputs = [output for output in manifest.outputs if output.data is not None]
        told, made = [], 0
        for number, output in enumerate(outputs):
            on_file(number, len(outputs))
            assert output.data is not None
            record = _known(view, output.data)
            if record is None:
                record, made = _make(folder, manifest, output, output.data, layout, view), made + 1
            told.append(record)
        wanted = {path: file for record in told for path, file in record["files"].items()}
        removed = _remove_others(view, {_stem(one.data) for one in outputs if one.data}, wanted)
        names = [path for path in wanted if not path.startswith("rows/")]
        if sum(record["rows"] for record in told) != manifest.totals.rows_out:
            raise RunError(f"{view.name}: holds other rows than run {manifest.run_id}; start the export again")
        view.write("classes.json", (json.dumps(list(manifest.classes), ensure_ascii=False) + "\n").encode())
        view.write("files.txt", "".join(f"{name}\n" for name in names).encode())
        _put(view, RECORD, _told(manifest, to, len(names)))
    return Exported(manifest.totals.rows_out, len(names), made, len(outputs) - made, removed)


def _told(manifest: Manifest, to: str, files: int) -> dict[str, Any]:
    run = {"run_id": manifest.run_id, "finished": manifest.finished, "content_sha256": manifest.content_sha256}
    return {"hardset": "export", "to": to, **run, "rows": manifest.totals.rows_out, "files": files}


def _check_place(folder: Folder, view: Folder, to: str) -> None:
    if lies_in(where(view.url), where(folder.url)):
        raise JobError(f"--path: {view.name} lies in the dataset itself; name another folder")
    try:
        found = json.loads(view.read(RECORD))
    except FileNotFoundError:
        if view.list():
            raise JobError(f"--path: {view.name} holds files that no export wrote; name an empty folder") from None
        return
    except ValueError:
        found = {}
    if not isinstance(found, dict) or found.get("hardset") != "export":
        raise JobError(f"--path: {view.name}/{RECORD} is of no export; name an empty folder")
    if found["to"] != to:
        raise JobError(f"--path: {view.name} holds an export to {found['to']}; name another folder for {to}")


def _make(
    folder: Folder, manifest: Manifest, output: Output, file: DataFile, layout: Layout, view: Folder
) -> dict[str, Any]:
    rows = _rows(folder, output, file)
    split = re.sub(r"[^\w.]+", "_", output.split) or "train"
    try:
        files = layout.files(Piece(_stem(file), split, manifest.classes, rows))
    except ValueError as error:
        raise RunError(f"{file.path}: {error}; a view has no place for it") from None
    described = {path: {"bytes": len(content), "sha256": sha256_hex(content)} for path, content in files.items()}
    record = {"source": file.path, "source_sha256": file.sha256, "rows": len(rows), "files": described}
    _put(view, f"{PIECES}{_stem(file)}.json", {**record, "complete": False})
    in_parallel(lambda path: view.write(path, files[path]), list(files))
    read = dict(zip(files, view.read_many(list(files)), strict=True))
    _check(read, rows, layout, manifest, output, view)
    _put(view, f"{PIECES}{_stem(file)}.json", {**record, "complete": True})
    return record


def _rows(folder: Folder, output: Output, file: DataFile) -> list[dict[str, Any]]:
    """Rows of a data file, which is the one that the manifest lists."""
    try:
        data = folder.read(file.path)
    except FileNotFoundError:
        raise RunError(f"{folder.name}: {file.path} is missing; `hardset verify` names every fault") from None
    if sha256_hex(data) != file.sha256:
        raise RunError(f"{folder.name}: {file.path} is not the file of the manifest, as its SHA-256 shows")
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{folder.name}: {file.path}: {one_line(error, 200)}") from error
    if len(rows) != output.counts.rows_out:
        raise RunError(f"{folder.name}: {file.path} holds {len(rows)} rows; the manifest says {output.counts.rows_out}")
    return rows


def _check(
    read: Files, rows: list[dict[str, Any]], layout: Layout, manifest: Manifest, output: Output, view: Folder
) -> None:
    """Raises RunError where what was read back is not each row once, with its label and its pixels."""
    labels = {row["row_id"]: row["label"] for row in rows}
    pairs = {
        one.row_id: (one.label, image_sha256(decode_png(one.image))) for one in layout.read(read, manifest.classes)
    }
    named = [(row["row_id"], pairs.get(row["row_id"], (-1, ""))[1]) for row in rows]
    wrong = [row_id for row_id, (label, _) in pairs.items() if labels.get(row_id) != label]
    if len(pairs) != len(rows) or wrong or content_sha256(named) != output.content_sha256:
        raise RunError(f"{view.name}: the rows of shard {output.index} do not read back as they are; export again")


def _known(view: Folder, file: DataFile) -> dict[str, Any] | None:
    """Record of a data file whose rows are there, byte for byte as they were written; None where they are not."""
    try:
        record: dict[str, Any] = json.loads(view.read(f"{PIECES}{_stem(file)}.json"))
        if not record["complete"] or record["source_sha256"] != file.sha256:
            return None
        contents = view.read_many(list(record["files"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None
    whole = all(
        sha256_hex(content) == one["sha256"] for content, one in zip(contents, record["files"].values(), strict=True)
    )
    return record if whole else None


def _remove_others(view: Folder, stems: set[str], wanted: dict[str, Any]) -> int:
    """Takes away what earlier exports wrote of data files that the run does not list."""
    removed = 0
    for path in view.list(PIECES):
        if PurePosixPath(path).stem in stems:
            continue
        for old in json.loads(view.read(path))["files"]:
            if old not in wanted:
                view.delete(old)
                removed += 1
        view.delete(path)
    return removed


def _stem(file: DataFile) -> str:
    """`data/0a1b2c3d/train-00017-<hash>.parquet` to `0a1b2c3d-train-00017-<hash>`."""
    return "-".join(PurePosixPath(file.path).with_suffix("").parts[1:])


def _put(view: Folder, path: str, record: dict[str, Any]) -> None:
    view.write(path, (json.dumps(record, ensure_ascii=False) + "\n").encode())
