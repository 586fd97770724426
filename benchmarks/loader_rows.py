"""Writes the rows that loaders are measured on: a finished run, and tar files of the same PNG files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from benchmarks.records import commit

from hardset.pipeline.dataset.files import parquet
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest, run_id
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Image, Manifest, Output, Shard
from hardset.schemas.rows.contract import CONTRACT_VERSION, schema_sha256

CLASSES = tuple(f"class {number}" for number in range(10))


def write(out: Path, side: int, files: list[Any], group_bytes: int) -> float:
    """A finished run of these rows in row groups of that size. Returns bytes of its files for each row."""
    parquet.ROW_GROUP_BYTES, before = group_bytes, parquet.ROW_GROUP_BYTES
    recipe = {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "8/255", "steps": 10}
    ledger = Ledger(Folder(str(out)), run_id(digest([side, group_bytes])))
    outputs = tuple(_commit(ledger, number, *one) for number, one in enumerate(files))
    parquet.ROW_GROUP_BYTES = before
    manifest = Manifest(
        contract=CONTRACT_VERSION,
        status="complete",
        run_id=ledger.run_id,
        job={"name": "loader", "source": {"format": "npz"}, "recipes": [recipe]},
        classes=CLASSES,
        image=Image(height=side, width=side, channels=3),
        models={},
        recipes={},
        schema_sha256=schema_sha256(CLASSES),
        outputs=outputs,
        failures=(),
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256=digest([output.content_sha256 for output in outputs]),
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:01+00:00",
        environment={},
    )
    ledger.write_manifest(manifest)
    write_card(ledger.folder, manifest)
    return sum(file.bytes for file in manifest.data_files) / manifest.totals.rows_out


def _commit(ledger: Ledger, number: int, pixels: Any, columns: dict[str, Any]) -> Output:
    count = len(pixels)
    images = [
        {"bytes": data, "path": f"{name}.png"} for data, name in zip(encode_png(pixels), columns["row_id"], strict=True)
    ]
    shard = Shard(index=number, key=digest([number, count]), recipe=0, range=0, split="train", start=0, stop=count)
    data = parquet.encode_rows({**columns, "image": images}, classes=CLASSES, footer={"run_id": ledger.run_id})
    return commit(ledger, shard, data, columns, Counts(rows_in=count, expected=count, rows_out=count))


def write_tars(place: Path, files: list[Any]) -> None:
    """The same PNG files and labels as tar files, as webdataset reads them."""
    place.mkdir()
    for number, (pixels, columns) in enumerate(files):
        with tarfile.open(place / f"train-{number:05d}.tar", "w") as tar:
            for name, data, label in zip(columns["row_id"], encode_png(pixels), columns["label"].tolist(), strict=True):
                for suffix, content in (("png", data), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{name}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
