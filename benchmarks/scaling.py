"""Writes the tables of docs/scaling.md from docs/benchmarks/scheduler.json, and measures the sizes of records."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import ROWS, plan_of, receipt_of

from hardset.schemas.records.run import Receipt

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "benchmarks" / "scheduler.json"
PAGE = DOCS / "scaling.md"
_SAMPLE = 2_000
_SIZES = (10**6, 10**8, 10**9)
_KEYS_PER_LISTING = 1_000
"""Maximum number of keys per response of S3's ListObjectsV2."""
_GPUS = (8, 64, 1_000)
_SHARD_SECONDS = (600, 60, 6)
"""Durations of a shard to tabulate; 2,048 rows in 60 s are 34 rows/s on one GPU."""


def write(name: str, section: dict[str, Any]) -> None:
    """Writes a section of figures and the tables made from it."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures[name] = section
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


def record_sizes() -> dict[str, float]:
    """Bytes per shard of each record, as JSON and in the driver's memory."""
    plan = plan_of(_SAMPLE)
    receipts = [receipt_of(shard) for shard in plan.shards]
    outputs = [receipt.output(shard) for receipt, shard in zip(receipts, plan.shards, strict=True)]
    empty = plan.model_copy(update={"shards": (), "ranges": ()})
    return {
        "plan_json": (len(plan.model_dump_json()) - len(empty.model_dump_json())) / _SAMPLE,
        "receipt_json": sum(len(receipt.model_dump_json()) for receipt in receipts) / _SAMPLE,
        "output_json": sum(len(output.model_dump_json()) + 1 for output in outputs) / _SAMPLE,
        "plan_memory": _held(lambda: plan_of(_SAMPLE)),
        "output_memory": _held(lambda: [_received(receipt_of(shard)).output(shard) for shard in plan.shards]),
    }


def _received(receipt: Receipt) -> Receipt:
    """The receipt as it arrives from an actor: it shares no strings with other records."""
    received: Receipt = pickle.loads(pickle.dumps(receipt))
    return received


def _held(make: Callable[[], Any]) -> float:
    """Bytes per shard held by the result of `make`."""
    tracemalloc.start()
    kept = make()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return held / _SAMPLE


def filled(page: str, figures: dict[str, Any]) -> str:
    """The page with every section filled for which there are figures. Raises ValueError if markers are missing."""
    for name, (section, table) in TABLES.items():
        start, end = f"<!-- scheduler:{name} -->", f"<!-- /scheduler:{name} -->"
        before, found, rest = page.partition(start)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no {start} ... {end}; put both markers where the table belongs")
        text = table(figures[section]) if section in figures else "Not measured yet."
        page = f"{before}{start}\n{text}\n{end}{after}"
    return page


def dispatch(section: dict[str, Any]) -> str:
    """Table of milliseconds per shard and memory."""
    machine, versions = section["machine"], section["machine"]["versions"]
    rows = [
        (
            name,
            f"{line['shards']:,}",
            f"{line['wall_ms_per_shard']:.2f}",
            f"{line['cpu_ms_per_shard']:.2f}",
            *(f"{line['resident_mb'][share]:,.0f}" for share in ("start", "10 %", "50 %", "100 %")),
        )
        for name, line in section["lines"].items()
    ]
    head = ("range of a shard", "shards", "wall ms", "CPU ms", "MB at start", "at 10 %", "at 50 %", "at 100 %")
    actors = next(iter(section["lines"].values()))["actors"]
    told = (
        f"{actors} actors that do nothing, {machine['cores']} cores for them and the driver, Ray {versions['ray']}, "
        f"Python {versions['python']}; {machine['date']}, load {machine['load']:.1f} at the end."
    )
    return f"{told}\n\n{_table(head, rows)}"


def makespan(section: dict[str, Any]) -> str:
    """Table of the ideal makespan as a share of the measured one, by case."""
    rows = [
        (
            name,
            f"{line['shards']:,}",
            f"{line['makespan_s']:,.0f}",
            f"{line['ideal_s']:,.0f}",
            f"{line['share']:.1%}",
            f"{line['lost_share']:.1%}",
        )
        for name, line in section["lines"].items()
    ]
    head = ("case", "shards", "makespan, s", "ideal, s", "of the ideal", "work lost with nodes")
    return _table(head, rows)


def records(section: dict[str, float]) -> str:
    """Table of record sizes for datasets of several sizes."""
    rows = []
    for size in _SIZES:
        shards = -(-size // ROWS)
        rows.append(
            (
                f"{size:,}",
                f"{shards:,}",
                *(_bytes(section[name] * shards) for name in ("plan_json", "receipt_json", "output_json")),
                f"{-(-shards // _KEYS_PER_LISTING):,}",
                _bytes((section["plan_memory"] + section["output_memory"]) * shards),
            )
        )
    head = ("rows", "shards", "plan.json", "receipts", "manifest.json", "list requests", "driver memory")
    per = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in sorted(section.items()))
    return f"{_table(head, rows)}\n\nBytes per shard, measured on {_SAMPLE:,} records: {per}."


def load(section: dict[str, Any]) -> str:
    """Table of the driver's load, from the measured CPU time per shard."""
    cpu = next(iter(section["lines"].values()))["cpu_ms_per_shard"]
    rows = [
        (f"{gpus:,}", f"{seconds:,}", f"{gpus / seconds:,.2f}", f"{gpus / seconds * cpu / 1e3:.2%}")
        for gpus in _GPUS
        for seconds in _SHARD_SECONDS
    ]
    return _table(("GPUs", "seconds a shard", "shards a second", "of one core of the driver"), rows)


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "dispatch": ("dispatch", dispatch),
    "makespan": ("makespan", makespan),
    "load": ("dispatch", load),
    "records": ("records", records),
}
"""Section of the figures and table function, by marker."""


def _bytes(number: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.1f} kB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
