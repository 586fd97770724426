"""Numbered shards in braces, as WebDataset names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.pipeline.sources.braces import expanded, has_braces
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import WebDatasetSource
from tests.sources.making import png, read_all, tar_bytes, write


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{0..2}.tar", ["a-0.tar", "a-1.tar", "a-2.tar"]),
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{train,val}/{0..1}.tar", ["train/0.tar", "train/1.tar", "val/0.tar", "val/1.tar"]),
        ("a-{7..7}.tar", ["a-7.tar"]),
        ("a{b}.tar", ["a{b}.tar"]),
        ("s3://b/{date}/x.tar", ["s3://b/{date}/x.tar"]),
    ],
)
def test_braces_stand_for_all_their_paths(path: str, found: list[str]) -> None:
    assert list(expanded(path)) == found
    assert has_braces(path) == (found != [path])


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(JobError, match=r"\{3\.\.1\} is no range of numbers"):
        list(expanded("a-{3..1}.tar"))


def shards(folder: Path, numbers: range) -> None:
    for n in numbers:
        write(folder / f"train-{n:06}.tar", tar_bytes([(f"{n}.png", png(n)), (f"{n}.cls", b"%d" % (n % 3))]))


def test_the_named_shards_are_read_and_no_others(tmp_path: Path) -> None:
    shards(tmp_path, range(6))
    spec = WebDatasetSource(path=f"{tmp_path}/train-{{000001..000003}}.tar")
    assert read_all(spec)[1] == [1, 2, 0]
    assert [part.file for part in open_source(spec).plan(9)] == [f"train-{n:06}.tar" for n in (1, 2, 3)]
    assert read_all(WebDatasetSource(path=f"{tmp_path}/*-{{000001,000005}}.tar"))[1] == [1, 2]


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    shards(tmp_path, range(2))
    with pytest.raises(JobError, match=r"no such file or folder .*train-000002\.tar"):
        open_source(WebDatasetSource(path=f"{tmp_path}/train-{{000000..000002}}.tar")).plan(9)


def test_a_file_whose_name_has_braces_is_itself(tmp_path: Path) -> None:
    write(tmp_path / "a-{0..1}.tar", tar_bytes([("0.png", png(0)), ("0.cls", b"2")]))
    assert read_all(WebDatasetSource(path=f"{tmp_path}/a-{{0..1}}.tar"))[1] == [2]
