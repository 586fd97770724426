"""Measures loading for training: rows per second of hardset.torch, of `datasets` streaming and of `webdataset`.

    python -m benchmarks.loader [--rounds 3] [--out docs/benchmarks/loader.json]

Needs `datasets`, and `pip install webdataset` for that comparison. Every contender reads the same PNG files of the
same synthetic rows, shuffles (the two others through a buffer of 1,000 rows), decodes, and hands over batches of 128
as uint8 tensors (B, C, H, W) with int64 labels. One pass over all rows is timed, from the call of `iter` on, so that
filling buffers and caches counts. Rates are rows per second of CPU time of all threads and processes together, in one
process and behind torch's DataLoader with two workers, whose start and end count too. Each is the best of several
interleaved rounds, so that load on the machine affects all alike.

The table of row-group sizes holds `Batches` alone, with a window of 64 MiB, so that rows come from windows of row
groups as they do in large datasets. `ROW_GROUP_BYTES` of `pipeline/dataset/files/parquet.py` follows from it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.loader_rows import write, write_tars
from benchmarks.writer import rows as synthetic
from torch.utils.data import DataLoader

import hardset.torch
from hardset.pipeline.dataset.files import parquet
from hardset.pipeline.dataset.provenance.environment import versions

FILES = {32: (5, 8_000), 224: (8, 200)}
"""Files, and rows of each, by side in pixels."""
BATCH, BUFFER = 128, 1_000
WANTED = {"datasets": 3.0, "webdataset": 1.0}
"""Speed asked for relative to the others."""
GROUPS = (1, 2, 4, 8, 16, 32)
"""Row-group sizes in MiB of image bytes."""
WINDOW = 2**26
OURS = "hardset.torch"
Pass = Callable[[], Iterable[int]]
"""A pass over all rows: the sizes of its batches."""


def main() -> None:
    """Measures, and writes JSON and the page beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/loader.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        sides = [measured(Path(home), side, arguments.rounds) for side in FILES]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before the start"
    others = {name: _version(name) for name in WANTED}
    found = {"versions": versions() | others, "machine": machine, "default_mib": _default(), "sides": sides}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".md").write_text(page(found), encoding="utf-8")


def measured(home: Path, side: int, rounds: int) -> dict[str, Any]:
    """Figures of one size of image."""
    files = [synthetic(count, side) for count in _counts(side)]
    places = {group: home / f"{side}-{group}" for group in GROUPS}
    sizes = {group: write(place, side, files, group * 2**20) for group, place in places.items()}
    out, tars = places[_default()], home / f"tar-{side}"
    write_tars(tars, files)
    cpu = _best({name: one(out, tars, 0) for name, one in _contenders().items()}, time.process_time, rounds)
    both = _best({name: one(out, tars, 2) for name, one in _contenders().items()}, _cpu_of_all, rounds)
    swept = {str(group): ours(place, tars, 0, window_bytes=WINDOW) for group, place in places.items()}
    groups = _best(swept, time.process_time, rounds)
    return {
        "side": side,
        "rows": sum(_counts(side)),
        "rows_per_cpu_second": cpu,
        "rows_per_cpu_second_of_two_workers": both,
        "row_groups": {
            name: {"rows_per_cpu_second": rate, "bytes_per_row": round(sizes[int(name)], 1)}
            for name, rate in groups.items()
        },
    }


def _best(passes: dict[str, Pass], clock: Callable[[], float], rounds: int) -> dict[str, int]:
    rates: dict[str, float] = {}
    for _ in range(rounds):
        for name, one in passes.items():
            start = clock()
            rows = sum(one())
            gc.collect()  # workers end with their loader, and their time is known once they have
            rates[name] = max(rates.get(name, 0.0), rows / (clock() - start))
    return {name: round(rate) for name, rate in rates.items()}


def _cpu_of_all() -> float:
    """Seconds of CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


# The contenders


def _contenders() -> dict[str, Callable[[Path, Path, int], Pass]]:
    found: dict[str, Callable[[Path, Path, int], Pass]] = {OURS: ours, "datasets": with_datasets}
    return found | ({"webdataset": with_webdataset} if find_spec("webdataset") else {})


def ours(out: Path, _: Path, workers: int, **settings: Any) -> Pass:
    """A new loader for each pass, which has nothing in memory yet."""

    def one() -> Iterable[int]:
        loader = hardset.torch.Loader(out, batch=BATCH, pixels="uint8", workers=workers, **settings)
        return (_checked(batch["image"], batch["label"]) for batch in loader)

    return one


def with_datasets(out: Path, _: Path, workers: int) -> Pass:
    """`datasets` streaming through the card, in the format of torch."""
    import datasets  # noqa: PLC0415

    def one() -> Iterable[int]:
        rows = datasets.load_dataset(str(out), split="train", streaming=True).select_columns(["image", "label"])
        rows = rows.shuffle(seed=1, buffer_size=BUFFER).with_format("torch")
        loader = DataLoader(rows, batch_size=BATCH, num_workers=workers)
        return (_checked(batch["image"], batch["label"]) for batch in loader)

    return one


def with_webdataset(_: Path, tars: Path, workers: int) -> Pass:
    """`webdataset` over tar files of the same PNG files."""
    import webdataset  # noqa: PLC0415

    urls = [str(path) for path in sorted(tars.glob("*.tar"))]

    def one() -> Iterable[int]:
        rows = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=1, workersplitter=webdataset.split_by_worker)
        rows = rows.shuffle(BUFFER).decode("rgb8").to_tuple("png", "cls").map_tuple(_tensor).batched(BATCH)
        loader = webdataset.WebLoader(rows, batch_size=None, num_workers=workers)
        return (_checked(torch.as_tensor(images), torch.as_tensor(labels)) for images, labels in loader)

    return one


def _tensor(pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # as quickly as hardset does it


def _checked(images: torch.Tensor, labels: torch.Tensor) -> int:
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3 or labels.dtype != torch.int64:
        raise SystemExit(f"a batch is {images.dtype} {tuple(images.shape)}, {labels.dtype}")
    return len(labels)


def _counts(side: int) -> list[int]:
    files, rows = FILES[side]
    return [rows + number for number in range(files)]  # `synthetic` draws other rows for another count


def _default() -> int:
    return parquet.ROW_GROUP_BYTES // 2**20


def _version(name: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version(name) if find_spec(name) else "not installed"


def page(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    names = [name for name in (OURS, *WANTED) if name in found["sides"][0]["rows_per_cpu_second"]]
    lines = [
        "# Loading for training",
        "",
        "Made by `python -m benchmarks.loader`, whose docstring says what is measured; numbers in `loader.json`.",
        ", ".join(f"{name} {found['versions'][name]}" for name in ("python", "torch", "pyarrow", *WANTED))
        + f", {found['machine']}.",
        "",
    ]
    for title, key in (
        ("Rows per second of CPU time, one process", "rows_per_cpu_second"),
        ("Rows per second of CPU time, two workers", "rows_per_cpu_second_of_two_workers"),
    ):
        lines += [
            f"## {title}",
            "",
            f"| side | {' | '.join(names)} |" + "".join(f" x {name} | asked |" for name in names[1:]),
        ]
        lines += ["|---|" + "---:|" * (len(names) + 2 * len(names[1:]))]
        for side in found["sides"]:
            rates = side[key]
            cells = [f"{side['side']} px", *(f"{rates[name]:,}" for name in names)]
            for name in names[1:]:
                times = rates[OURS] / rates[name]
                cells += [f"{times:.2f}", f"{WANTED[name]:g}{'' if times >= WANTED[name] else ', **not met**'}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "## Size of row groups",
        "",
        f"Rows per second of CPU time of `hardset.torch` alone, with a window of {WINDOW // 2**20} MiB, and bytes of a "
        f"row in the file. Written are {found['default_mib']} MiB.",
        "",
        "| MiB |" + "".join(f" rows/s, {side['side']} px | bytes, {side['side']} px |" for side in found["sides"]),
        "|---:|" + "---:|---:|" * len(found["sides"]),
    ]
    for group in found["sides"][0]["row_groups"]:
        cells = [group]
        for side in found["sides"]:
            one = side["row_groups"][group]
            cells += [f"{one['rows_per_cpu_second']:,}", f"{one['bytes_per_row']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
