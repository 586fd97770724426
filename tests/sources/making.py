"""Makes source files for tests: encoded images, Parquet in the Hugging Face layout, image folders, arrays."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import ImageSource

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(seed: int, height: int = 6, width: int = 5, channels: int = 3) -> np.ndarray:
    """Random pixels, uint8, H x W x C."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, image_format: str = "PNG", **options: Any) -> bytes:
    """Bytes of an image file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png(seed: int, height: int = 6, width: int = 5, channels: int = 3) -> bytes:
    """A PNG of random pixels."""
    return encoded(pixels(seed, height, width, channels))


def parquet_bytes(
    images: Sequence[Any],
    labels: Sequence[int | None],
    *,
    group: int = 100,
    names: Sequence[str] | None = None,
    image: str = "image",
    label: str = "label",
    **options: Any,
) -> bytes:
    """A Parquet file; `images` are bytes, None, or whole {bytes, path} mappings."""
    cells = [{"bytes": i, "path": None} if isinstance(i, bytes) else i for i in images]
    table = pa.table(
        {"id": list(range(len(cells))), image: pa.array(cells, IMAGE_TYPE), label: pa.array(labels, pa.int64())}
    )
    if names is not None:
        features = {label: {"_type": "ClassLabel", "names": list(names)}, image: {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=group, **options)
    return buffer.getvalue()


def rows_table(labels: Sequence[int]) -> pa.Table:
    """The images of seeds 0, 1, ... with these labels, as columns `image` and `label`."""
    return pq.read_table(io.BytesIO(parquet_bytes([png(n) for n in range(len(labels))], labels))).drop(["id"])


def write(path: Path, data: bytes) -> Path:
    """Writes a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def npz_bytes(images: np.ndarray, labels: np.ndarray, *, compressed: bool = False) -> bytes:
    """An .npz file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, images=images, labels=labels)
    return buffer.getvalue()


def tar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    """A .tar file of members by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def read_all(spec: ImageSource, classes: int = 3) -> tuple[list[str], list[int], dict[str, str]]:
    """Digests and labels of all rows of a source, in ranges of at most three, and why others are lost, by key."""
    reader = open_source(spec)
    reads = [reader.read(part, reader.probe(), classes) for part in reader.plan(3)]
    digests = [digest for rows, _ in reads for digest in rows.sha256]
    labels = [label for rows, _ in reads for label in rows.labels.tolist()]
    return digests, labels, {reject.key: reject.message for _, rejects in reads for reject in rejects}


def read_pairs(spec: ImageSource) -> list[tuple[str, int]]:
    """Digest and label of each row of a source that loses none."""
    digests, labels, lost = read_all(spec)
    assert not lost
    return list(zip(digests, labels, strict=True))
