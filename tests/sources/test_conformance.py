"""The kit of sources holds built-in formats, and the example of the docs, to the laws, and finds what breaks one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyiceberg.catalog import load_catalog

from hardset.pipeline.sources.base import RawRow, Source
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.ranges import cut
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.sources.table import SOURCES
from hardset.pipeline.testing.sources import Check
from hardset.schemas.digests import digest
from hardset.schemas.job.sources import StoredSource
from hardset.schemas.records.run import SourceRange
from hardset.testing import NonconformityError, SampleRow, SourceExample, check_source, source_checks
from tests.sources.making import encoded, npz_bytes, parquet_bytes, tar_bytes, write

EXAMPLES = Path(__file__).parents[2] / "examples" / "extending"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def by_file(rows: Sequence[SampleRow]) -> dict[str, list[SampleRow]]:
    found: dict[str, list[SampleRow]] = {}
    for row in rows:
        found.setdefault(row.file, []).append(row)
    return found


def image_bytes(row: SampleRow) -> bytes:
    return b"no image" if row.pixels is None else encoded(row.pixels)


def write_parquet(folder: Path, rows: Sequence[SampleRow]) -> None:
    for name, some in by_file(rows).items():
        data = parquet_bytes([image_bytes(row) for row in some], [row.label for row in some], group=3)
        write(folder / f"{name}.parquet", data)


def write_folders(folder: Path, rows: Sequence[SampleRow]) -> None:
    for row in rows:
        place = folder / row.file.partition("-")[0] / "abc"[row.label]
        write(place / f"{row.file}-{row.number}.png", image_bytes(row))


def write_arrays(folder: Path, rows: Sequence[SampleRow]) -> None:
    for name, some in by_file(rows).items():
        images = np.stack([row.pixels for row in some if row.pixels is not None])
        write(folder / f"{name}.npz", npz_bytes(images, np.array([row.label for row in some])))


def write_lines(folder: Path, rows: Sequence[SampleRow]) -> None:
    for name, some in by_file(rows).items():
        lines = [[row.label, *(["?"] if row.pixels is None else row.pixels.ravel().tolist())] for row in some]
        write(folder / f"{name}.csv", "".join(",".join(map(str, line)) + "\n" for line in lines).encode())


def write_table(folder: Path, rows: Sequence[SampleRow]) -> None:
    """A table of paths and labels for each file, and the images beside it."""
    for row in rows:
        write(folder / "images" / f"{row.file}-{row.number}.png", image_bytes(row))
    for name, some in by_file(rows).items():
        lines = [f"images/{row.file}-{row.number}.png,{row.label}\n" for row in some]
        write(folder / f"{name}.csv", "".join(lines).encode())


def write_tars(folder: Path, rows: Sequence[SampleRow]) -> None:
    """Labels in a .cls, and in a .json in every second row; a member that nobody asked for beside them."""
    for name, some in by_file(rows).items():
        members = []
        for row in some:
            label = ("cls", str(row.label).encode()) if row.number % 2 else ("json", b'{"label": %d}' % row.label)
            members += [(f"{row.number:05}.{end}", data) for end, data in (label, ("png", image_bytes(row)))]
            members.append((f"{row.number:05}.seg.png", b"no image"))
        write(folder / f"{name}.tar", tar_bytes(members))


def write_manifests(folder: Path, rows: Sequence[SampleRow]) -> None:
    """A table with a head for each file, and the images beside it."""
    for row in rows:
        write(folder / "images" / f"{row.file}-{row.number}.png", image_bytes(row))
    for name, some in by_file(rows).items():
        lines = [f"images/{row.file}-{row.number}.png,{row.label}\n" for row in some]
        write(folder / f"{name}.csv", "".join(["path,label\n", *lines]).encode())


def write_delta(folder: Path, rows: Sequence[SampleRow]) -> None:
    """Files as `write_parquet` has them, and a log that lists each."""
    write_parquet(folder, rows)
    names = sorted(path.name for path in folder.glob("*.parquet"))
    schema = pq.read_schema(folder / names[0])
    added = [AddAction(name, (folder / name).stat().st_size, {}, 0, True, "{}") for name in names]
    create_table_with_add_actions(str(folder), Schema.from_arrow(schema), added)


def write_iceberg(folder: Path, rows: Sequence[SampleRow]) -> None:
    """Files as `write_parquet` has them, and metadata that list each."""
    write_parquet(folder, rows)
    files = sorted(f"file://{path}" for path in folder.glob("*.parquet"))
    with closing(load_catalog("hardset", uri="sqlite://")) as catalogue:
        catalogue.create_namespace("a")
        schema = pq.read_schema(files[0].removeprefix("file://"))
        catalogue.create_table("a.rows", schema, location=f"file://{folder}").add_files(files)


BUILT_IN = {
    "digits": SourceExample(lambda path: {"format": "digits", "limit": 500}, classes=10),
    "parquet": SourceExample(lambda path: {"format": "parquet", "path": path}, write_parquet),
    "imagefolder": SourceExample(lambda path: {"format": "imagefolder", "path": path}, write_folders),
    "npz": SourceExample(lambda path: {"format": "npz", "path": path}, write_arrays, breaks=False),
    "webdataset": SourceExample(lambda path: {"format": "webdataset", "path": path}, write_tars),
    "manifest": SourceExample(lambda path: {"format": "manifest", "path": path}, write_manifests),
    "delta": SourceExample(lambda path: {"format": "delta", "path": path}, write_delta),
    "iceberg": SourceExample(lambda path: {"format": "iceberg", "path": path}, write_iceberg),
}
OWN = SourceExample(
    lambda path: {"format": "source:LINES", "path": path, "height": 6, "width": 5}, write_lines, channels=1
)
EVERY = [(name, check) for name, example in BUILT_IN.items() for check in source_checks(example)]


def test_every_built_in_source_has_an_example() -> None:
    assert BUILT_IN.keys() == SOURCES.keys()


@pytest.mark.parametrize(("name", "check"), EVERY, ids=[f"{name}-{check.__name__}" for name, check in EVERY])
def test_built_in_sources_keep_the_laws(name: str, check: Check, tmp_path: Path) -> None:
    check(BUILT_IN[name], tmp_path)


def test_the_example_of_the_docs_keeps_the_laws(tmp_path: Path) -> None:
    check_source(OWN, tmp_path)


class Table(StoredSource):
    """Tables of paths and labels."""


@dataclass(frozen=True)
class TableReader(RowFiles):
    """What one writes first: the digest is that of the table, and the images are read beside it."""

    suffix = ".csv"
    spec: Table

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        return cut(0, len(list(self._lines(file.name))), shard_rows)

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        for path, label in islice(self._lines(name), start, stop):
            yield StoredRow(int(label), self.open(path).read())

    def _lines(self, name: str) -> Iterator[list[str]]:
        return iter(list(csv.reader(io.StringIO(self.open(name).read().decode()))))


@dataclass(frozen=True)
class ByTime(TableReader):
    """Takes a file's time and size for its digest."""

    def fixed(self, parts: list[SourceRange]) -> list[SourceRange]:
        def stamp(name: str) -> str:
            found = Path(self._place.path_of(name)).stat()
            return digest([found.st_mtime_ns, found.st_size])

        return [part.model_copy(update={"digest": stamp(part.file)}) for part in parts]


@dataclass(frozen=True)
class OneDigest(TableReader):
    """Takes all files together for the digest of each."""

    def fixed(self, parts: list[SourceRange]) -> list[SourceRange]:
        root = Path(self._place.root)
        whole = digest([path.read_bytes().hex() for path in sorted(root.rglob("*")) if path.is_file()])
        return [part.model_copy(update={"digest": whole}) for part in parts]


@dataclass(frozen=True)
class Careless(OneDigest):
    """Leaves out images that are none."""

    def _rows(self, source_range: SourceRange) -> Iterator[RawRow]:
        return (row for row in super()._rows(source_range) if row.image != b"no image")


@dataclass(frozen=True)
class Short(OneDigest):
    """Leaves out the last row of every range."""

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        return super().rows(name, start, stop - 1)


@dataclass(frozen=True)
class Counting(OneDigest):
    """Counts rows through the whole source."""

    def _rows(self, source_range: SourceRange) -> Iterator[RawRow]:
        before = 0
        for _, file in self.files:
            if file.name == source_range.file:
                break
            before += len(list(self._lines(file.name)))
        for row in super()._rows(source_range):
            number = before + row.index
            yield RawRow(f"row#{number}", number, row.label, row.image)


@dataclass(frozen=True)
class Wandering(TableReader):
    """Looks up something beside the source."""

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        (Path(self.spec.path).parent / "elsewhere.txt").open("a").close()
        return super().rows(name, start, stop)


BAD = {
    TableReader: (
        "a_changed_image_changes_its_digest",
        r"an image changed, and the range train-0\.csv rows 0 to 4.* kept its digest: its shards would keep their keys",
    ),
    ByTime: ("a_changed_label_changes_its_digest", r"a label changed, and the range .* kept its digest"),
    OneDigest: (
        "a_changed_image_changes_its_digest",
        r"an image changed, and train-1\.csv, which holds none of it, has another digest",
    ),
    Careless: ("broken_images_are_quarantined", r"2 images cannot be read, and 0 rows are rejected"),
    Short: ("every_row_comes_once", r"train-0\.csv: \d+ rows came where \d+ were planned; the file has changed"),
    Counting: ("keys_are_stable", r"a row has key and index \('row#0', 0\), and key_of says \('t.*csv#0', 0\)"),
    Wandering: ("nothing_is_read_elsewhere", r"reading opens \['.*elsewhere\.txt'\], which lies outside of the source"),
}


@pytest.mark.parametrize("reader", BAD, ids=lambda reader: reader.__name__)
def test_what_breaks_a_law_is_told(reader: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, message = BAD[reader]
    monkeypatch.setitem(globals(), "SOURCE", Source(Table, reader))
    example = SourceExample(lambda path: {"format": f"{__name__}:SOURCE", "path": path}, write_table)
    (check,) = [check for check in source_checks(example) if check.__name__ == name]
    with pytest.raises(NonconformityError, match=message):
        check(example, tmp_path)


def test_the_page_shows_a_use_of_the_kit_that_runs(tmp_path: Path) -> None:
    page = (EXAMPLES.parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "check_source" in text]
    names: dict[str, Any] = {}
    exec(block, names)
    names["test_it_keeps_the_laws"](tmp_path)
