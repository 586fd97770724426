"""Measures the overhead of the thirtieth nightly run before it makes rows: records of all nights, source digests.

A nightly run finds out which shards its output already holds. The manifests of all nights grow with nights times
shards; a run reads only the newest manifest and the names of the receipts. Both ways are timed on the same folder. A
plan of a local source is timed with and without the digests cached by the previous plan.

    python -m benchmarks.nights [--shards N] [--nights N] [--gigabytes G] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.records import plan_of, receipt_of

from hardset.pipeline.dataset.records.ledger import RUNS, find_receipts, manifests, newest_first, summaries
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest, run_id
from hardset.schemas.job.sources import NpzSource
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Output
from hardset.schemas.records.summary import Summary

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks"
FILE_BYTES = 64 << 20


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `act` takes, and its result."""
    started = time.perf_counter()
    found = act()
    return time.perf_counter() - started, found


def put_nights(folder: Folder, nights: int, shards: int) -> list[str]:
    """Writes the records of nights over a source that grows evenly to `shards`; returns the keys of all shards."""
    plan, root = plan_of(shards), Path(folder.url)
    outputs: list[Output] = []
    for night in range(nights):
        run = run_id(digest(["night", night]))
        home = root / RUNS / run
        (home / "receipts").mkdir(parents=True)
        for shard in plan.shards[len(outputs) : shards * (night + 1) // nights]:
            receipt = receipt_of(shard).model_copy(update={"run_id": run})
            (home / "receipts" / f"{shard.index:06d}-{shard.key[:12]}.json").write_bytes(sealed(receipt))
            outputs.append(receipt.output(shard))
        manifest = _manifest(run, tuple(outputs), night)
        (home / "summary.json").write_bytes(sealed(Summary.of(manifest)))
        (home / "manifest.json").write_bytes(sealed(manifest))
    return [shard.key for shard in plan.shards]


def _manifest(run: str, outputs: tuple[Output, ...], night: int) -> Manifest:
    image, classes = plan_of(0).image, plan_of(0).classes
    when = f"2026-11-{night % 30 + 1:02d}T02:00:00.000+00:00"
    return Manifest(
        contract="1.1",
        status="complete",
        run_id=run,
        job={"name": "nightly", "recipes": []},
        classes=classes,
        image=image,
        models={},
        recipes={},
        schema_sha256="",
        outputs=outputs,
        failures=(),
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256="",
        started=when,
        finished=when,
        environment={},
        lease=night + 1,
    )


def records(nights: int, shards: int) -> dict[str, Any]:
    """Seconds to find committed shards: from all manifests, and as a nightly run does when one night is missing."""
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(place)
        keys = put_nights(folder, nights, shards)
        lost = keys[-max(1, shards // nights) :]
        by_all, every = timed(lambda: manifests(folder))
        del every
        by_newest, newest = timed(lambda: next(newest_first(folder)))
        by_names, found = timed(lambda: list(find_receipts(folder, lost)))
        assert len(newest.outputs) == shards
        assert len(found) == len(lost)
        small, _ = timed(lambda: summaries(folder))
        return {
            "nights": nights,
            "shards": shards,
            "manifests_mib": round(sum(p.stat().st_size for p in Path(place).rglob("manifest.json")) / 2**20, 1),
            "all_manifests_s": round(by_all, 3),
            "newest_manifest_s": round(by_newest, 3),
            "receipts_of_one_night_s": round(by_names, 3),
            "summaries_s": round(small, 3),
            "ratio": round(by_all / (by_newest + by_names), 1),
        }


def planning(gigabytes: float) -> dict[str, Any]:
    """Seconds to plan a local source, with no digest cached and with all of them."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["HARDSET_CACHE"] = f"{place}/cache"
        files, source = max(1, round(gigabytes * 1e9 / FILE_BYTES)), Path(place, "in")
        source.mkdir()
        images = np.random.default_rng(0).integers(0, 256, (FILE_BYTES // 3072, 32, 32, 3), np.uint8)
        for number in range(files):
            images[0, 0, 0] = number % 256, number // 256, 0
            np.savez(source / f"train-{number:05d}.npz", images=images, labels=np.zeros(len(images), np.int64))
        time.sleep(2.1)  # files younger than 2 s are not cached
        spec = NpzSource(format="npz", path=f"{source}/*.npz")
        first, ranges = timed(lambda: open_source(spec).plan(2048))
        second, again = timed(lambda: open_source(spec).plan(2048))
        assert ranges == again
        return {
            "gigabytes": round(files * FILE_BYTES / 1e9, 2),
            "files": files,
            "first_plan_s": round(first, 3),
            "second_plan_s": round(second, 3),
            "ratio": round(first / second, 1),
        }


def page(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    one, two = result["records"], result["planning"]
    return f"""# The thirtieth night

Written by `python -m benchmarks.nights`; local disk, {result["cores"]} cores.

| before any shard is made | |
|---|---:|
| nights, shards listed by the last | {one["nights"]:,}, {one["shards"]:,} |
| manifests of all nights | {one["manifests_mib"]:,} MiB |
| reading all manifests | {one["all_manifests_s"]:.2f} s |
| reading the newest manifest, found by the summaries | {one["newest_manifest_s"]:.2f} s |
| reading the receipts of one night's shards, found by their names | {one["receipts_of_one_night_s"]:.2f} s |
| `hardset runs`: summaries only | {one["summaries_s"]:.3f} s |
| ratio: all manifests to newest manifest and receipts | {one["ratio"]} |

| planning a local source of {two["gigabytes"]} GB in {two["files"]} files | |
|---|---:|
| first plan: every byte is hashed (files in the page cache) | {two["first_plan_s"]:.2f} s |
| second plan: no byte is read | {two["second_plan_s"]:.3f} s |
| ratio | {two["ratio"]} |
"""


def main() -> None:
    """Measures and writes nights.json and nights.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=PAGE)
    asked = parser.parse_args()
    result = {
        "records": records(asked.nights, asked.shards),
        "planning": planning(asked.gigabytes),
        "cores": os.cpu_count(),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "nights.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "nights.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
