"""The dataset folder, opened by `datasets`: splits, class names and pixels are what went in."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.rows.contract import COLUMNS
from tests.dataset.examples import CLASSES, RUN, commit_shard, manifest_of, pixels_of, shard_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: two train shards, one of which lost a row, and one test shard that lost two."""
    place = tmp_path_factory.mktemp("readers") / "out"
    folder = Folder(str(place))
    shards = (shard_of(0), shard_of(1), shard_of(2, split="test"))
    ledger = Ledger(folder, RUN)
    receipts = [commit_shard(ledger, shard, lost=lost) for shard, lost in zip(shards, (1, 0, 2), strict=True)]
    manifest = manifest_of(shards, receipts)
    ledger.write_manifest(manifest)
    write_card(folder, manifest)
    return place


def wanted(split: str = "train") -> list[tuple[np.ndarray[Any, Any], int]]:
    """Pixels and labels of a split, in order."""
    shards = [(0, 2), (1, 3)] if split == "train" else [(2, 1)]
    return [(image, (3 * i + n) % 3) for i, rows in shards for n, image in enumerate(pixels_of(rows, seed=i))]


def assert_same(images: list[Any], labels: list[int], split: str = "train") -> None:
    assert len(images) == len(wanted(split))
    for image, label, (pixels, number) in zip(images, labels, wanted(split), strict=True):
        opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
        np.testing.assert_array_equal(np.asarray(opened), pixels)
        assert label == number


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place for the Arrow files of `datasets`, which must not reach for a network."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return str(tmp_path / "cache")


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_opens_the_folder(out: Path, cache: str, streaming: bool) -> None:
    import datasets

    for split in ("train", "test"):
        rows = datasets.load_dataset(str(out), split=split, streaming=streaming, cache_dir=cache)
        for name in ("label", "pred", "target_label"):
            assert rows.features[name].names == list(CLASSES)
        assert isinstance(rows.features["image"], datasets.Image)
        listed = list(rows)
        assert_same([row["image"] for row in listed], [row["label"] for row in listed], split)
        assert set(listed[0]) == {column.name for column in COLUMNS}


def test_datasets_opens_lone_files_without_the_card(out: Path, cache: str, tmp_path: Path) -> None:
    import datasets

    bare = shutil.copytree(out / "data" / RUN[:8], tmp_path / "bare")
    rows = datasets.load_dataset("parquet", data_files=str(bare / "train-*.parquet"), split="train", cache_dir=cache)
    assert rows.features["label"].names == list(CLASSES)
    assert_same(rows["image"], rows["label"])


def test_the_card_restores_features_that_another_writer_lost(out: Path, cache: str, tmp_path: Path) -> None:
    import datasets
    import polars

    copy = shutil.copytree(out, tmp_path / "copy")
    for file in copy.glob("data/*/*.parquet"):
        polars.read_parquet(file).write_parquet(file)
        assert b"huggingface" not in (pq.read_schema(file).metadata or {})
    rows = datasets.load_dataset(str(copy), split="train", cache_dir=cache)
    assert rows.features["label"].names == list(CLASSES)
    assert_same(rows["image"], rows["label"])


def test_datasets_takes_the_newest_run_only(out: Path, cache: str, tmp_path: Path) -> None:
    """The new run keeps the first of two shards of an old run and makes the second one again."""
    import datasets

    folder = Folder(str(shutil.copytree(out, tmp_path / "copy")))
    new = "feedfeed" + RUN[8:]
    shards = (shard_of(0), shard_of(1))
    old = list(Ledger(folder, RUN).receipts().values())
    receipts = [next(r for r in old if r.index == 0), commit_shard(Ledger(folder, new), shards[1], lost=2, seed=5)]
    manifest = manifest_of(shards, receipts, finished="2026-01-02T00:00:00Z")
    Ledger(folder, new).write_manifest(manifest)
    write_card(folder, manifest)
    rows = datasets.load_dataset(folder.url, split="train", cache_dir=cache)
    assert sorted(set(rows["run_id"])) == [RUN, new]
    stored = [np.asarray(image) for image in rows["image"]]
    for image, pixels in zip(stored, [*pixels_of(2, seed=0), *pixels_of(1, seed=5)], strict=True):
        np.testing.assert_array_equal(image, pixels)
