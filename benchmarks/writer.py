"""Measures the writer: rows per second from pixels to Parquet against OpenCV's PNG, and provenance bytes by column.

    python -m benchmarks.writer [--seconds 4] [--out docs/benchmarks/writer.json]

Needs `opencv-python-headless` for the comparison. Rates are rows per second of process CPU time, one thread, the best
of several interleaved rounds, so that load on the machine affects all equally. "Images" writes only the image column;
"rows" writes all columns of the contract with hardset's writer, for both PNG encoders. OpenCV's files are already
deflated; as images they are stored without Parquet's compression, which favours OpenCV.

The rows are synthetic, not attacked: smooth colours with noise of 8 levels, 70 % of it at the bounds; digests are of
the actual pixels, norms of the actual difference, logits drawn from a normal distribution.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.png_writer import ROUNDS, images, writers

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.parquet import encode_rows
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.judging.judge import distances
from hardset.schemas.digests import canonical_json, image_sha256, row_id, row_seed
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED, IMAGE

SIZES = {32: 10_000, 224: 200}
"""Rows per file, by side in pixels."""
WANTED = {32: 5.0, 224: 3.0}
"""Required speed relative to OpenCV's default PNG, by side in pixels."""
PROVENANCE_ROWS, PROVENANCE_BYTES = 10_000, 130
OURS, OPENCV = "stored", "opencv default"
CLASSES = [f"class {number}" for number in range(10)]
RECIPE = "0123456789abcdef"


def rows(
    count: int, side: int = 32, kind: str = ADVERSARIAL, *, held_out: bool = False
) -> tuple[Pixels, dict[str, Any]]:
    """Images (N, side, side, 3) of one shard, and all columns but the image column."""
    rng = np.random.default_rng(count)
    stored = images(side, count)
    keys = [f"train-00000-of-00010.parquet#{number}" for number in range(count)]
    sources = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    named = zip(sources, keys, strict=True)
    ids = [row_id(recipe=RECIPE, source_sha256=source, source_key=key, variant=0) for source, key in named]
    labels = rng.integers(0, len(CLASSES), count)
    columns: dict[str, Any] = {
        "label": labels,
        "row_id": ids,
        "image_sha256": [image_sha256(image) for image in stored],
        "source_key": keys,
        "seed": [row_seed(run_seed=0, recipe=RECIPE, source_key=key, variant=0) for key in keys],
        **_texts(count, kind),
        **dict.fromkeys(("width", "height"), np.full(count, side)),
        "variant": np.zeros(count, np.int32),
        "pred": rng.integers(0, len(CLASSES), count),
        "margin": rng.normal(0, 3, count).astype(np.float32),
        "confidence": rng.random(count, np.float32),
    }
    if kind != GENERATED:
        columns |= {"source_index": np.arange(count), "source_sha256": sources}
    if kind == AUGMENTED:
        angles = rng.uniform(-15, 15, count)
        columns["params"] = [
            canonical_json([{"degrees": round(angle, 6), "op": "rotate"}]) for angle in angles.tolist()
        ]
    if kind == ADVERSARIAL:
        columns |= _attacked(rng, stored, labels)
    if held_out:
        preds = rng.integers(0, len(CLASSES), (count, 2)).tolist()
        columns["transfer_pred"] = [canonical_json({"resnet": a, "vgg": b}) for a, b in preds]
        columns["transferred"] = rng.integers(0, 3, count)
    return stored, columns


def _texts(count: int, kind: str) -> dict[str, Any]:
    """Columns that hold one string for all rows."""
    texts = {
        "kind": kind,
        "run_id": "0a1b2c3d-1111-8222-8333-444455556666",
        "recipe_id": RECIPE,
        "op": {ADVERSARIAL: "pgd_linf", AUGMENTED: "augment", GENERATED: "gan"}[kind],
        "verify_id": "fp32-tf32off-b256",
    }
    if kind != GENERATED:
        texts |= {"source_dataset": "s3://bucket/datasets/cifar10/plain_text", "source_split": "train"}
    if kind != AUGMENTED:
        texts |= {"model_id": "hardset.pipeline.models.zoo:cifar_resnet20@0123456789ab", "model_sha256": "1f" * 32}
    if kind == ADVERSARIAL:
        texts |= {"norm": "Linf", "found_by": "pgd"}
    return {name: [text] * count for name, text in texts.items()}


def _attacked(rng: np.random.Generator, stored: Pixels, labels: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Further columns of adversarial rows: verdicts and norms."""
    count = len(stored)
    noise = np.where(
        rng.random(stored.shape) < 0.7, 8 * rng.choice([-1, 1], stored.shape), rng.integers(-8, 9, stored.shape)
    )
    levels, l2, l1 = distances(stored, np.clip(stored + noise, 0, 255).astype(np.uint8))
    clean = np.where(rng.random(count) < 0.9, labels, (labels + 1) % len(CLASSES))
    margins = rng.normal(0, 3, (2, count)).astype(np.float32)
    return {
        "eps": np.full(count, 8 / 255),
        "steps": np.full(count, 10, np.int32),
        "queries": np.zeros(count, np.int32),
        "clean_pred": clean,
        "float_pred": rng.integers(0, len(CLASSES), count),
        "clean_margin": margins[0],
        "float_margin": margins[1],
        "success": (clean == labels) & (rng.random(count) < 0.8),
        "linf_levels": levels,
        "l2": l2,
        "l1": l1,
        "flags": np.where(clean == labels, "", "misclassified").tolist(),
    }


def row_file(pngs: list[bytes], columns: dict[str, Any]) -> bytes:
    """Parquet file of all columns, by hardset's writer."""
    named = zip(pngs, columns["row_id"], strict=True)
    image = [{"bytes": data, "path": f"{name}.png"} for data, name in named]
    footer = {"run_id": columns["run_id"][0], "shard_key": "0f" * 32}
    return encode_rows({**columns, "image": image}, classes=CLASSES, footer=footer)


def image_file(pngs: list[bytes], *, compression: str) -> bytes:
    """Parquet file of the image column alone, with the writer's settings."""
    table = pa.table({"image": pa.array([{"bytes": data} for data in pngs], IMAGE)})
    target = io.BytesIO()
    pq.write_table(
        table,
        target,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,
        use_dictionary=False,
        write_statistics=False,
        write_page_index=True,
        write_page_checksum=True,
        store_schema=False,
        row_group_size=max(1, 16 * 2**20 * len(pngs) // sum(map(len, pngs))),
    )
    return target.getvalue()


def speeds(side: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Rows per second and bytes per row of each PNG encoder, for images and for rows."""
    pixels, columns = rows(SIZES[side], side)
    encoders = {name: write for name, write in writers().items() if name in (OURS, OPENCV)}
    acts: dict[str, Callable[[], bytes]] = {}
    for name, write in encoders.items():
        compression = "zstd" if name == OURS else "none"
        acts[f"images, {name}"] = lambda write=write, kind=compression: image_file(write(pixels), compression=kind)  # type: ignore[misc]
        acts[f"rows, {name}"] = lambda write=write: row_file(write(pixels), columns)  # type: ignore[misc]
    sizes = {name: len(act()) for name, act in acts.items()}
    best = dict.fromkeys(acts, 0.0)
    for _ in range(ROUNDS):
        for name, act in acts.items():
            done, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds / ROUNDS or not done:
                act()
                done += len(pixels)
            best[name] = max(best[name], done / spent)
    found = {}
    for what in ("images", "rows"):
        table: dict[str, Any] = {
            name: {
                "rows_per_s": round(best[f"{what}, {name}"]),
                "bytes_per_row": round(sizes[f"{what}, {name}"] / len(pixels), 1),
            }
            for name in encoders
        }
        if OPENCV in encoders:
            table["times_as_fast"] = round(best[f"{what}, {OURS}"] / best[f"{what}, {OPENCV}"], 2)
        found[what] = table
    return found


def provenance(kinds: dict[str, int], *, side: int = 32, held_out: bool = False) -> dict[str, Any]:
    """Bytes per row of everything but the PNGs, over one file per kind of row; by column, largest first."""
    total: dict[str, int] = {}
    count = sum(kinds.values())
    for kind, number in kinds.items():
        pixels, columns = rows(number, side, kind, held_out=held_out)
        pngs = writers()[OURS](pixels)
        data = row_file(pngs, columns)
        if data != row_file(pngs, columns):
            raise SystemExit("the same rows gave other bytes when they were written again")
        metadata = pq.read_metadata(io.BytesIO(data))
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(metadata.num_columns)]
        for chunk in chunks:
            total[chunk.path_in_schema] = total.get(chunk.path_in_schema, 0) + chunk.total_compressed_size
        rest = len(data) - sum(chunk.total_compressed_size for chunk in chunks)
        total["footer and indexes"] = total.get("footer and indexes", 0) + rest
    png = total.pop("image.bytes")
    by_column = {name: round(size / count, 2) for name, size in sorted(total.items(), key=lambda item: -item[1])}
    return {
        "rows": count,
        "bytes_per_row": round(sum(total.values()) / count, 1),
        "png_bytes_per_row": round(png / count, 1),
        "by_column": by_column,
    }


def page(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "# The writer",
        "",
        "Made by `python -m benchmarks.writer`, whose docstring says what is measured; numbers in `writer.json`.",
        f"Python {found['versions']['python']}, pyarrow {found['versions']['pyarrow']}, OpenCV {found['opencv']}, "
        f"{found['machine']}, load {found['load']} before the start.",
        "",
        "## Rows per second, one thread",
        "",
        "| side | what | stored PNG + zstd | OpenCV PNG | times as fast | wanted | met |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for side, table in found["speeds"].items():
        for what, one in table.items():
            ratio = one.get("times_as_fast")
            wanted = WANTED[int(side)]
            met = "not measured" if ratio is None else "yes" if ratio >= wanted else "**no**"
            rival = f"{one[OPENCV]['rows_per_s']:,}" if OPENCV in one else "-"
            lines.append(
                f"| {side} px | {what} | {one[OURS]['rows_per_s']:,} | {rival} | {ratio or '-'} | {wanted:g} | {met} |"
            )
    lines += [
        "",
        "Bytes per row in the file:",
        "",
        "| side | what | stored PNG + zstd | OpenCV PNG |",
        "|---|---|---:|---:|",
    ]
    for side, table in found["speeds"].items():
        for what, one in table.items():
            rival = f"{one[OPENCV]['bytes_per_row']:,}" if OPENCV in one else "-"
            lines.append(f"| {side} px | {what} | {one[OURS]['bytes_per_row']:,} | {rival} |")
    lines += [
        "",
        "## Cost of provenance",
        "",
        f"Bytes per row beside the PNG, 32 px; the target is at most {PROVENANCE_BYTES}.",
        "",
    ]
    lines += ["| rows | bytes | met |", "|---|---:|---|"]
    for name, one in found["provenance"].items():
        met = "yes" if one["bytes_per_row"] <= PROVENANCE_BYTES else "**no**"
        lines.append(f"| {one['rows']:,} {name} | {one['bytes_per_row']} | {met} |")
    names = list(found["provenance"])
    columns = found["provenance"][names[0]]["by_column"]
    lines += ["", f"| column | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for column in columns:
        cells = (str(found["provenance"][name]["by_column"].get(column, "-")) for name in names)
        lines.append(f"| {column if ' ' in column else f'`{column}`'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything, prints the page and writes it beside the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time per writer and size")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/writer.json"))
    asked = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    opencv = "not installed"
    if find_spec("cv2"):
        import cv2  # type: ignore[import-not-found]  # noqa: PLC0415

        opencv = cv2.__version__
    third = PROVENANCE_ROWS // 5
    found = {
        "speeds": {str(side): speeds(side, asked.seconds) for side in SIZES},
        "provenance": {
            "adversarial": provenance({ADVERSARIAL: PROVENANCE_ROWS}),
            "of all families": provenance({ADVERSARIAL: 3 * third, GENERATED: third, AUGMENTED: third}),
            "adversarial, two held-out models": provenance({ADVERSARIAL: PROVENANCE_ROWS}, held_out=True),
        },
        "versions": versions(),
        "opencv": opencv,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": load,
    }
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    asked.out.with_suffix(".md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
