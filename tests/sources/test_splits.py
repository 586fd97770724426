"""Splits are those that Hugging Face `datasets` reads off the same names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hardset.pipeline.sources.splits import selected, split_of_file
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ParquetSource
from tests.support import job_of, make_here

NAMES = [
    pattern.format(word=word)
    for word in ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation")
    for pattern in (
        "{word}.parquet",
        "{word}-00000-of-00002.parquet",
        "data/{word}-00000-of-00002-1a2b3c4d.parquet",
        "digits_{word}_3.parquet",
        "a/b/{word}/c.parquet",
        "{word}_set/c.parquet",
        "my-{word}/c.parquet",
        "my{word}.parquet",
        "{word}ed/c.parquet",
    )
] + ["data/part1-00000-of-00002.parquet", "data/extra.hard-00001-of-00002.parquet", "plain.parquet", "TEST.parquet"]


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_read_off_names_as_datasets_reads_them(name: str, tmp_path: Path) -> None:
    data_files = pytest.importorskip("datasets.data_files")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert [split_of_file(name)] == [str(split) for split in data_files.get_data_patterns(str(tmp_path))]


def test_source_order_is_train_validation_test_then_others() -> None:
    names = ["data/b-00000-of-00001.x", "dev.x", "plain.x", "test.x", "train.x", "data/a-00000-of-00001.x"]
    found = [split for split, _ in selected(names, split_of_file, None)]
    assert found == ["train", "train", "validation", "test", "a", "b"]
    assert selected(names, split_of_file, ("test", "train")) == [
        ("train", "plain.x"),
        ("train", "train.x"),
        ("test", "test.x"),
    ]


def test_an_unknown_split_is_answered_with_those_there_are() -> None:
    with pytest.raises(JobError, match=r"source.splits: no split 'tset'; the source has: train, test"):
        selected(["train.x", "test.x"], split_of_file, ("train", "tset"))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_made_rows_stay_in_the_split_of_their_parents(split, weights, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.savez(source / f"{split}.npz", images=images, labels=np.arange(30) % 10)
    recipes = [{"kind": "attack", "name": "fgsm", "eps": "0.1"}]
    made = tmp_path / "made"
    make_here(job_of(weights, made, source={"format": "npz", "path": str(source / "*.npz")}, recipes=recipes))
    (file,) = made.glob("data/**/*.parquet")
    again = ParquetSource(path=str(made / "data" / "**" / "*.parquet"))
    assert {piece.split for piece in open_source(again).plan(100)} == {split}
    shutil.copy(file, tmp_path / "train-disguised.parquet")
    with pytest.raises(
        JobError, match=rf"train-disguised\.parquet is in split train, but .* made from rows of split {split}"
    ):
        open_source(ParquetSource(path=str(tmp_path / "train-disguised.parquet"))).plan(100)
