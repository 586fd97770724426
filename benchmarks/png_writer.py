"""Compares stored PNG with the PNG writers of Pillow and, if installed, OpenCV: rows/s, size, and ratios in one run.

    python -m benchmarks.png_writer [--out png_writer.json] [--seconds 1.0]

Rates are rows per second of process CPU time, one thread, from pixels to the bytes on disk: PNG, then Parquet's zstd
level 1. Each is the best of several interleaved rounds, so that load on the machine affects all writers equally. Pixels
are synthetic: smooth colours with noise of up to 8 levels, 70 % of it at the bounds, as adversarial noise is.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_png, encode_png
from hardset.pipeline.dataset.provenance.environment import versions

Writer = Callable[[Pixels], list[bytes]]
SIZES = {32: 512, 224: 32}
"""Number of images in a batch, by side in pixels."""
ROUNDS = 4


def images(side: int, count: int) -> Pixels:
    """RGB images with noise like an adversarial attack's."""
    rng = np.random.default_rng(side)
    grid = np.linspace(0, 3, side)
    waves = np.sin(grid[:, None, None] * rng.uniform(1, 3, (count, 1, 1, 3)) + grid[None, :, None])
    noise = np.where(
        rng.random(waves.shape) < 0.7, 8 * rng.choice([-1, 1], waves.shape), rng.integers(-8, 9, waves.shape)
    )
    return np.clip(127 + 90 * waves + noise, 0, 255).astype(np.uint8)


def writers() -> dict[str, Writer]:
    """All installed writers by name."""
    found: dict[str, Writer] = {
        "stored": encode_png,
        "deflated level 1": lambda batch: encode_png(batch, 1),
        "pillow level 1": lambda batch: [_pillow(image, 1) for image in batch],
        "pillow level 6": lambda batch: [_pillow(image, 6) for image in batch],
    }
    if find_spec("cv2"):
        import cv2  # type: ignore[import-not-found]  # noqa: PLC0415

        cv2.setNumThreads(1)
        found["opencv default"] = lambda batch: [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in batch]
    return found


def _pillow(image: Pixels, level: int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(image).save(target, "PNG", compress_level=level)
    return target.getvalue()


def measure(batch: Pixels, seconds: float) -> dict[str, dict[str, float]]:
    """Rows per second and bytes per row of every writer; each writer's output must decode to the same pixels."""
    zstd, best, sizes = pa.Codec("zstd", 1), dict[str, float](), dict[str, float]()
    for _ in range(ROUNDS):
        for name, write in writers().items():
            files = write(batch)
            if name not in sizes:
                assert all(np.array_equal(decode_png(f), image) for f, image in zip(files, batch, strict=True)), name
                sizes[name] = len(zstd.compress(b"".join(files))) / len(batch)
            rows, start = 0, time.process_time()
            while time.process_time() - start < seconds / ROUNDS:
                rows += len(files := write(batch))
                zstd.compress(b"".join(files))
            best[name] = max(best.get(name, 0.0), rows / (time.process_time() - start))
    return {
        name: {
            "rows_per_s": round(rate, 1),
            "bytes_per_row": round(sizes[name], 1),
            "stored_is_faster_by": round(best["stored"] / rate, 2),
            "stored_is_larger_by": round(sizes["stored"] / sizes[name], 3),
        }
        for name, rate in best.items()
    }


def main() -> None:
    """Measures all writers, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time per writer and size")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        f"{side}px": measure(images(side, count), arguments.seconds) for side, count in SIZES.items()
    }
    for size, table in results.items():
        for name, figures in table.items():
            print(size, name, *(f"{key}={value}" for key, value in figures.items()), sep="  ")
    if arguments.out:
        record = {"environment": versions() | {"processor": platform.processor()}, "results": results}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
