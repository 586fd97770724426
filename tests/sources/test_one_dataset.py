"""One stranger's dataset in every format: the same classes, rows, digests and made rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import load_catalog

import hardset
from hardset.pipeline.sources.table import open_source
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import IMAGE_TYPE, encoded, pixels, tar_bytes, write
from tests.support import make_here

NAMES = ("airplane", "automobile", "bird")


class Photo(NamedTuple):
    """A JPEG file of a class."""

    data: bytes
    label: int


def drawn() -> list[Photo]:
    return [Photo(encoded(pixels(n, 32, 32), "JPEG", quality=90), n % 3) for n in range(18)]


def of_cifar(shared_data: Path) -> list[Photo]:
    table = pq.read_table(shared_data / "cifar10_test_jpeg.parquet").to_pylist()
    return [Photo(row["image"]["bytes"], row["label"]) for row in table if row["label"] < 3][:300]


def table_of(photos: Sequence[Photo]) -> pa.Table:
    """The layout of `datasets`, with class names in its metadata."""
    cells = pa.array([{"bytes": photo.data, "path": None} for photo in photos], IMAGE_TYPE)
    table = pa.table({"image": cells, "label": pa.array([photo.label for photo in photos], pa.int64())})
    features = {"label": {"_type": "ClassLabel", "names": NAMES}, "image": {"_type": "Image"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def folders(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    for n, photo in enumerate(photos):
        write(root / NAMES[photo.label] / f"{n:04}.jpg", photo.data)
    return {"format": "imagefolder", "path": str(root)}


def split_folders(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    """As `datasets.load_dataset("imagefolder")` takes it."""
    return folders(root / "train", photos) | {"path": str(root)}


def shards(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    for half in range(2):
        members = [
            (f"{n:04}.{end}", data)
            for n, photo in list(enumerate(photos))[half::2]
            for end, data in (("jpg", photo.data), ("cls", str(photo.label).encode()))
        ]
        write(root / f"train-{half:06}.tar", tar_bytes(members))
    return {"format": "webdataset", "path": f"{root}/train-{{000000..000001}}.tar", "classes": NAMES}


def named_shards(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    """Labels by name in a .json."""
    members = [
        (f"{n:04}.{end}", data)
        for n, photo in enumerate(photos)
        for end, data in (("jpg", photo.data), ("json", json.dumps({"label": NAMES[photo.label]}).encode()))
    ]
    write(root / "a.tar", tar_bytes(members))
    return {"format": "webdataset", "path": str(root)}


def listed(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    lines = ["path;label\r\n"]
    for n, photo in enumerate(photos):
        write(root / "img" / f"{n:04}.jpg", photo.data)
        lines.append(f"img/{n:04}.jpg;{NAMES[photo.label]}\r\n")
    return {"format": "manifest", "path": str(write(root / "list.csv", "".join(lines).encode("utf-8-sig")))}


def with_metadata(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    """A folder with metadata.jsonl, as `datasets` takes it, with classes that count from one."""
    lines = []
    for n, photo in enumerate(photos):
        write(root / f"{n:04}.jpg", photo.data)
        lines.append(json.dumps({"file_name": f"{n:04}.jpg", "label": photo.label + 1}) + "\n")
    path = str(write(root / "metadata.jsonl", "".join(lines).encode()))
    return {"format": "manifest", "path": path, "classes": NAMES, "label_offset": 1}


def parquet(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    root.mkdir(parents=True)
    pq.write_table(table_of(photos), root / "train-00000-of-00001.parquet", row_group_size=7)
    return {"format": "parquet", "path": str(root)}


def hive(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    for label, name in enumerate(NAMES):
        (root / f"label={name}").mkdir(parents=True)
        some = [photo for photo in photos if photo.label == label]
        pq.write_table(table_of(some).select(["image"]), root / f"label={name}" / "part-0.parquet")
    return {"format": "parquet", "path": str(root)}


def delta(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    deltalake.write_deltalake(root, table_of(photos[:4]))
    deltalake.write_deltalake(root, table_of(photos), mode="overwrite")
    return {"format": "delta", "path": str(root), "classes": NAMES}


def iceberg(root: Path, photos: Sequence[Photo]) -> dict[str, Any]:
    catalogue = load_catalog("hardset", uri="sqlite://")
    catalogue.create_namespace("a")
    table = catalogue.create_table("a.b", table_of(photos).schema, location=f"file://{root}")
    table.append(table_of(photos[:4]))
    table.overwrite(table_of(photos))
    catalogue.close()
    return {"format": "iceberg", "path": str(root), "classes": NAMES}


FORMATS: dict[str, Callable[[Path, Sequence[Photo]], dict[str, Any]]] = {
    one.__name__: one
    for one in (split_folders, shards, named_shards, listed, with_metadata, parquet, hive, delta, iceberg)
}


def rows_of(section: dict[str, Any], out: Path) -> tuple[Any, list[tuple[str, int, bytes]]]:
    """Class names, and of each row its digest, label and pixels, in the order of digests."""
    reader = open_source(job_of(section, out).source)
    names, image = reader.class_names(), reader.probe()
    reads = [reader.read(part, image, 3) for part in reader.plan(64)]
    assert [reject for _, rejects in reads for reject in rejects] == []
    found = [
        (digest, int(label), one.tobytes())
        for rows, _ in reads
        for digest, label, one in zip(rows.sha256, rows.labels, rows.pixels, strict=True)
    ]
    return names, sorted(found)


def job_of(section: dict[str, Any], out: Path) -> Any:
    document = {"name": "one", "source": section, "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}]}
    return parse_job({**document, "output": {"path": str(out)}})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_classes_rows_and_digests(name: str, tmp_path: Path) -> None:
    photos = drawn()
    wanted = rows_of(folders(tmp_path / "folders", photos), tmp_path / "out")
    assert (wanted[0], len(wanted[1])) == (NAMES, len(photos))
    assert rows_of(FORMATS[name](tmp_path / "other", photos), tmp_path / "out") == wanted


@pytest.mark.parametrize("name", FORMATS)
def test_cifar_gives_the_same_rows_from_every_format(name: str, shared_data: Path, tmp_path: Path) -> None:
    photos = of_cifar(shared_data)
    wanted = rows_of(folders(tmp_path / "folders", photos), tmp_path / "out")
    assert (wanted[0], len(wanted[1])) == (NAMES, len(photos))
    assert rows_of(FORMATS[name](tmp_path / "other", photos), tmp_path / "out") == wanted


def made(section: dict[str, Any], out: Path) -> np.ndarray:
    make_here(job_of(section, out))
    columns = ["source_sha256", "label"]
    table = hardset.open_dataset(out).to_arrow(columns)
    return np.sort(np.array([str(row) for row in table.select(columns).to_pylist()]))


def test_made_rows_of_every_format_join_by_the_digest_of_their_parent(tmp_path: Path) -> None:
    photos = drawn()
    wanted = made(folders(tmp_path / "folders", photos), tmp_path / "out")
    for write_format in (shards, listed, parquet):
        name = write_format.__name__
        found = made(write_format(tmp_path / name, photos), tmp_path / f"out-{name}")
        np.testing.assert_array_equal(found, wanted)
