"""Reading of every format of sources in one run: rows/s from files to decoded pixels, at 32 and 224 px.

    python -m benchmarks.sources [--out sources.json] [--page sources.md] [--seconds 2.0]

The same PNG images lie in every format (.npz holds plain pixels), on the local disk, whose cache is warm. Rates are
rows per second of process CPU time of what a worker does with a shard: the range held to its plan, read, decoded. Each
is the best of interleaved rounds, so that load on the machine affects all formats equally.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pydantic import TypeAdapter

from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import Source

SIZES = {32: 2048, 224: 256}
"""Number of images by side in pixels."""
SHARD_ROWS, CLASSES, ROUNDS = 512, 10, 4
_SOURCE: TypeAdapter[Any] = TypeAdapter(Source)


def images(side: int, count: int) -> np.ndarray:
    """Smooth colours with noise, (count, side, side, 3) uint8."""
    rng = np.random.default_rng(side)
    grid = np.linspace(0, 3, side)
    waves = np.sin(grid[:, None, None] * rng.uniform(1, 3, (count, 1, 1, 3)) + grid[None, :, None])
    return np.clip(127 + 90 * waves + rng.integers(-8, 9, waves.shape), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """A PNG as Pillow writes it."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def parquet(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """One file in the Hugging Face layout, row groups of 100 as `datasets` writes them."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": data, "path": None} for data in files], kind)
    pq.write_table(pa.table({"image": cells, "label": labels}), folder / "train.parquet", row_group_size=100)


def delta(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """The same file under a log."""
    from deltalake import Schema  # noqa: PLC0415 - an extra
    from deltalake.transaction import AddAction, create_table_with_add_actions  # noqa: PLC0415

    parquet(folder, pixels, files, labels)
    file = folder / "train.parquet"
    added = [AddAction(file.name, file.stat().st_size, {}, 0, True, "{}")]
    create_table_with_add_actions(str(folder), Schema.from_arrow(pq.read_schema(file)), added)


def iceberg(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """The same file under metadata."""
    from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - an extra

    parquet(folder, pixels, files, labels)
    file = folder / "train.parquet"
    with closing(load_catalog("benchmark", uri="sqlite://")) as catalogue:
        catalogue.create_namespace("a")
        table = catalogue.create_table("a.rows", pq.read_schema(file), location=f"file://{folder}")
        table.add_files([f"file://{file}"])


def imagefolder(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """A file per image in folders of classes."""
    for number, (data, label) in enumerate(zip(files, labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        (folder / str(label) / f"{number:06}.png").write_bytes(data)


def npz(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """Plain arrays."""
    np.savez(folder / "train.npz", images=pixels, labels=np.array(labels))


def webdataset(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """One tar with a png and a cls for each row."""
    with tarfile.open(folder / "train-000000.tar", "w") as archive:
        for number, (data, label) in enumerate(zip(files, labels, strict=True)):
            for end, content in (("png", data), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{number:06}.{end}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def manifest(folder: Path, pixels: np.ndarray, files: list[bytes], labels: list[int]) -> None:
    """A CSV of paths, and the files."""
    (folder / "images").mkdir()
    lines = ["path,label\n"]
    for number, (data, label) in enumerate(zip(files, labels, strict=True)):
        (folder / "images" / f"{number:06}.png").write_bytes(data)
        lines.append(f"images/{number:06}.png,{label}\n")
    (folder / "train.csv").write_text("".join(lines))


WRITERS: dict[str, Callable[[Path, np.ndarray, list[bytes], list[int]], None]] = {
    "parquet": parquet,
    "delta": delta,
    "iceberg": iceberg,
    "webdataset": webdataset,
    "imagefolder": imagefolder,
    "manifest": manifest,
    "npz": npz,
}


def measure(side: int, count: int, seconds: float) -> dict[str, float]:
    """Rows per second of every format."""
    pixels = images(side, count)
    files, labels = [png(one) for one in pixels], [number % CLASSES for number in range(count)]
    best: dict[str, float] = dict.fromkeys(WRITERS, 0.0)
    with tempfile.TemporaryDirectory() as home:
        for name, write in WRITERS.items():
            (Path(home) / name).mkdir()
            write(Path(home) / name, pixels, files, labels)
        time.sleep(2.5)  # until the files are older than the tick of any file system, after which they are hashed once
        sources = {}
        for name in WRITERS:
            reader = open_source(_SOURCE.validate_python({"format": name, "path": str(Path(home) / name)}))
            sources[name] = reader, reader.probe(), reader.plan(SHARD_ROWS)
        for _ in range(ROUNDS):
            for name, (reader, image, plan) in sources.items():
                rows, start = 0, time.process_time()
                while time.process_time() - start < seconds / ROUNDS:
                    for part in plan:
                        found, lost = reader.read(part, image, CLASSES)
                        assert not lost, lost[0].message
                        rows += len(found)
                best[name] = max(best[name], rows / (time.process_time() - start))
    return best


def page(found: dict[str, Any]) -> str:
    """The figures as a page."""
    sides = [str(side) for side in SIZES]
    lines = [
        f"| `{name}` | "
        + " | ".join(
            f"{found['rates'][s][name]:,.0f} ({found['rates'][s][name] / found['rates'][s]['parquet']:.2f})"
            for s in sides
        )
        + " |"
        for name in WRITERS
    ]
    heads = " | ".join(f"{side} px: rows/s (to Parquet's)" for side in sides)
    return "\n".join(
        [
            "# Reading of sources",
            "",
            f"Written by `python -m benchmarks.sources` in one run on {found['machine']}; versions: `sources.json`.",
            (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip(),
            "",
            f"| format | {heads} |",
            "|---" * (len(sides) + 1) + "|",
            *lines,
            "",
        ]
    )


def main() -> None:
    """Measures, and writes figures and page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    rates = {str(side): measure(side, count, asked.seconds) for side, count in SIZES.items()}
    found = {"machine": f"{platform.machine()}, one thread", "versions": versions(), "rates": rates}
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)
    if asked.page:
        asked.page.write_text(page(found))


if __name__ == "__main__":
    main()
