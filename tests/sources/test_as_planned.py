"""What is read is what was planned: files replaced before, during and after a read, on this host and on another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources import as_planned
from hardset.pipeline.sources.base import unfixed
from hardset.pipeline.sources.fingerprints import digests_of, stamp, tag_digest
from hardset.pipeline.sources.npz import NpzReader
from hardset.pipeline.sources.row_files import RowFiles
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import RunError
from hardset.schemas.job.sources import ImageFolderSource, ImageSource, NpzSource, ParquetSource
from hardset.schemas.records.run import Image, SourceRange
from tests.sources.making import npz_bytes, parquet_bytes, pixels, png, write
from tests.sources.test_own import job_of
from tests.support import make_here

SHAPE = Image(height=6, width=5, channels=3)
Put = Callable[[Path, int], Path]


def put_parquet(folder: Path, seed: int) -> Path:
    return write(folder / "train.parquet", parquet_bytes([png(seed + i) for i in range(8)], [i % 3 for i in range(8)]))


def put_npz(folder: Path, seed: int) -> Path:
    images = np.stack([pixels(seed + i) for i in range(8)])
    return write(folder / "train.npz", npz_bytes(images, np.arange(8) % 3))


def put_members(folder: Path, seed: int) -> Path:
    return [write(folder / "cat" / f"{i}.png", png(seed + i)) for i in range(8)][-1]


FORMATS: dict[str, tuple[Callable[..., ImageSource], Put]] = {
    "parquet": (ParquetSource, put_parquet),
    "npz": (NpzSource, put_npz),
    "imagefolder": (ImageFolderSource, put_members),
}


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> tuple[Callable[..., ImageSource], Put]:
    return FORMATS[request.param]


@pytest.mark.parametrize("cached", [True, False], ids=["host that planned", "another host"])
def test_a_replaced_file_ends_the_read_with_its_name(format_, cached: bool, tmp_path: Path, monkeypatch) -> None:
    spec, put = format_
    monkeypatch.setenv("HARDSET_CACHE", str(tmp_path / "cache") if cached else "")
    file = put(tmp_path / "in", 0)
    reader = open_source(spec(path=str(tmp_path / "in")))
    (part,) = reader.plan(100)
    assert len(reader.read(part, SHAPE, 3)[0]) == 8
    times = file.stat()
    put(tmp_path / "in", 50)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    for one in (reader, open_source(reader.spec)):
        with pytest.raises(RunError, match=r"(train\.\w+|cat/\d\.png) has changed since the run was planned; start"):
            one.read(part, SHAPE, 3)
    assert len(reader.read(unfixed(part), SHAPE, 3)[0]) == 8


def test_a_file_that_vanished_or_was_locked_is_named(format_, tmp_path: Path) -> None:
    spec, put = format_
    file = put(tmp_path, 0)
    reader = open_source(spec(path=str(tmp_path)))
    (part,) = reader.plan(100)
    file.unlink()
    with pytest.raises(RunError, match=rf"{file.name} has vanished since the run was planned; start the job again"):
        reader.read(part, SHAPE, 3)


@pytest.mark.parametrize("old", [True, False], ids=["settled", "just written"])
@pytest.mark.parametrize("name", ["parquet", "npz"])
def test_a_file_replaced_while_it_is_read_gives_no_rows(name: str, old: bool, tmp_path: Path, monkeypatch) -> None:
    spec, put = FORMATS[name]
    file = put(tmp_path, 0)
    if old:
        monkeypatch.setattr("hardset.pipeline.sources.fingerprints.RACY_SECONDS", -60.0)
    reader = open_source(spec(path=str(tmp_path)))
    (part,) = reader.plan(100)
    first = RowFiles._rows

    def replacing(self: Any, source_range: Any) -> Iterator[Any]:
        for number, row in enumerate(first(self, source_range)):
            if number == 4:
                put(tmp_path, 50)
            yield row

    monkeypatch.setattr(RowFiles, "_rows", replacing)
    with pytest.raises(RunError, match=rf"{file.name} has changed"):
        reader.read(part, SHAPE, 3)


class OwnDigests(NpzReader):
    """A format that fixes its ranges by digests of its own."""

    def fixed(self, parts: list[SourceRange]) -> list[SourceRange]:
        found = {part.file: hashlib.sha256(self.open(part.file).read()).hexdigest() for part in parts}
        return [part.model_copy(update={"digest": found[part.file]}) for part in parts]


def test_digests_of_ones_own_are_held_before_and_after_a_read(tmp_path: Path, monkeypatch) -> None:
    put_npz(tmp_path, 0)
    reader = OwnDigests(NpzSource(path=str(tmp_path)))
    (part,) = reader.plan(100)
    assert len(reader.read(part, SHAPE, 3)[0]) == 8
    first = RowFiles._rows

    def replacing(self: Any, source_range: Any) -> Iterator[Any]:
        yield from first(self, source_range)
        put_npz(tmp_path, 50)

    monkeypatch.setattr(RowFiles, "_rows", replacing)
    for _ in ("replaced while it is read", "replaced before"):
        with pytest.raises(RunError, match=r"train\.npz has changed since the run was planned"):
            reader.read(part, SHAPE, 3)


def test_a_file_edited_in_place_within_a_tick_of_the_clock_gives_no_rows(tmp_path: Path, monkeypatch) -> None:
    """Its identity stays, as on a file system with coarse times: only the bytes tell."""
    file = put_npz(tmp_path, 0)
    reader = open_source(NpzSource(path=str(tmp_path)))
    (part,) = reader.plan(100)
    same = stamp(reader._place.fs, str(file))
    monkeypatch.setattr(as_planned, "stamp", lambda fs, path: same)
    assert same.racy and len(reader.read(part, SHAPE, 3)[0]) == 8
    first = RowFiles._rows

    def editing(self: Any, source_range: Any) -> Iterator[Any]:
        yield from first(self, source_range)
        put_npz(tmp_path, 50)

    monkeypatch.setattr(RowFiles, "_rows", editing)
    with pytest.raises(RunError, match=r"train\.npz has changed"):
        reader.read(part, SHAPE, 3)


@pytest.mark.parametrize("name", ["parquet", "npz"])
def test_a_file_replaced_while_it_is_planned_is_not_planned(name: str, tmp_path: Path, monkeypatch) -> None:
    """Else the rows of one file would stand beside the digest of another."""
    spec, put = FORMATS[name]
    put(tmp_path, 0)
    reader = open_source(spec(path=str(tmp_path)))
    first = type(reader).pieces

    def replacing(self: Any, file: Any, shard_rows: int) -> Any:
        pieces = list(first(self, file, shard_rows))
        (tmp_path / file.name).unlink()
        put(tmp_path, 50)
        return iter(pieces)

    monkeypatch.setattr(type(reader), "pieces", replacing)
    with pytest.raises(RunError, match=r"train\.\w+ was replaced while the run was planned; start the job again"):
        reader.plan(3)


def test_a_worker_hashes_a_file_once(tmp_path: Path, monkeypatch) -> None:
    put_npz(tmp_path, 0)
    monkeypatch.setattr("hardset.pipeline.sources.fingerprints.RACY_SECONDS", -60.0)
    monkeypatch.setenv("HARDSET_CACHE", "")
    plan = open_source(NpzSource(path=str(tmp_path))).plan(2)
    hashed: list[str] = []
    original = as_planned.content_digest
    monkeypatch.setattr(as_planned, "content_digest", lambda fs, path: hashed.append(path) or original(fs, path))
    reader = open_source(NpzSource(path=str(tmp_path)))
    assert [len(reader.read(part, SHAPE, 3)[0]) for part in plan] == [2] * 4
    assert len(hashed) == 1


def test_content_proves_tags_that_are_checksums_of_it() -> None:
    data = b"some bytes"
    found = set(digests_of(data))
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert tag_digest({"ETag": f'"{md5}"', "size": 10}) in found
    assert tag_digest({"ETag": f'"{md5}-2"', "size": 10}) not in found
    assert hashlib.sha256(data).hexdigest() in found


def test_a_run_under_which_a_file_is_replaced_commits_nothing_of_it(tmp_path: Path, monkeypatch) -> None:
    put_parquet(tmp_path / "in", 0)
    job = job_of(tmp_path / "in", tmp_path / "out")
    job = job.model_copy(update={"source": ParquetSource(path=str(tmp_path / "in"))})
    plan = make_plan(job)
    put_parquet(tmp_path / "in", 50)
    monkeypatch.setattr("tests.support.make_plan", lambda job: plan)
    with pytest.raises(RunError, match=r"train\.parquet has changed since the run was planned"):
        make_here(job)
    assert not list((tmp_path / "out").rglob("*.parquet"))
