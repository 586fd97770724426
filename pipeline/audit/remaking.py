"""Rows made again in bulk and held against what is stored: pixels, and every column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hardset.pipeline.audit.agreement import text_of
from hardset.pipeline.audit.findings import Findings
from hardset.pipeline.audit.replay import DIFFERS, code_fault, differing, made_elsewhere, result_of
from hardset.pipeline.audit.verdict_checks import RunWorkers
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.files.quarantine import quarantine_table
from hardset.pipeline.recipes.table import stands_alone
from hardset.pipeline.shards.encoding import quarantine_records
from hardset.pipeline.shards.judgement import MadeShard
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.reading import BadRow, row_key
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import unfixed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError, one_line
from hardset.schemas.records.run import Manifest, Output, Shard

_MEASURED = frozenset({"clean_margin", "float_margin", "margin", "confidence", "l2", "l1"})
"""Columns of float32 figures, whose last bits depend on the number of threads."""
_TOLERANCE = 1e-3
"""Accepted difference of such figures, absolute or relative."""


@dataclass(frozen=True)
class Lot:
    """Which rows of a dataset are made again: `number` of all `rows`, spread evenly over them; None: every row."""

    number: int | None
    rows: int

    def of(self, before: int, count: int) -> list[int]:
        """Positions of the chosen rows in a file of `count` rows that `before` rows lie before."""
        if self.number is None or self.number >= self.rows:
            return list(range(count))
        drawn = {(2 * number + 1) * self.rows // (2 * self.number) - before for number in range(self.number)}
        return sorted(place for place in drawn if 0 <= place < count)


def make_again(
    folder: Folder,
    manifest: Manifest,
    workers: RunWorkers,
    output: Output,
    table: pa.Table,
    chosen: Sequence[int],
    findings: Findings,
) -> None:
    """Makes the `chosen` rows of the file of `output` again, and notes those that come out otherwise.

    Where all are chosen its shard is made whole, and what it would store beside them is noted too. Where its rows
    depend on one another it is always made whole. Rows whose recipe's code has changed since are left out with a note,
    and so are those of shards whose source is gone.
    """
    if output.kept or not chosen:
        return
    worker = workers.of(output.run_id, findings)
    if worker is None:
        return
    assert output.data is not None
    path, plan = output.data.path, worker.plan
    shard = next(shard for shard in plan.shards if shard.key == output.key)
    text = text_of(plan, manifest, shard.recipe)
    try:
        fault = "its recipe is none of its plan" if text is None else code_fault(text, manifest)
        if fault is not None:
            findings.note(f"rows of {plan.job['recipes'][shard.recipe]['kind']} were not made again: {fault}")
            return
        whole = len(chosen) == table.num_rows
        alone = not whole and text is not None and stands_alone(text)
        made = _made(worker, shard, output, table.take(list(chosen)) if alone else None)
    except (UserError, OSError) as error:
        findings.add(path, f"its rows cannot be made again: {one_line(error, 200)}")
        return
    elsewhere = made_elsewhere(folder, manifest, output, str(worker.device))
    rows = table.take(list(chosen)).to_pylist()
    for what in _compare(rows, made, elsewhere):
        findings.add(f"{path} {what[0]}", what[1])
    if whole:
        for fault in (*_counted(output, made, table), *_lost(folder, output, made, elsewhere)):
            findings.add(f"shard {output.index}", fault)
    findings.remade += len(rows)


def _made(worker: Worker, shard: Shard, output: Output, only: pa.Table | None) -> MadeShard:
    """The shard made again, without the rows that were excluded; with `only`, no more than what those came from."""
    rows = None if shard.range is None else unfixed(worker.plan.ranges[shard.range])
    left_out = set(output.excluded)
    if only is not None:
        wanted = set(only["source_key"].to_pylist())
        left_out |= {row for row in range(shard.start, shard.stop) if row_key(rows, row)[0] not in wanted}
    return make_shard(shard, rows, worker, [BadRow(row, "", "") for row in sorted(left_out)])


def _compare(rows: Sequence[Mapping[str, Any]], made: MadeShard, elsewhere: Sequence[str]) -> Iterator[tuple[str, str]]:
    places = {row_id: at for at, row_id in enumerate(made.columns["row_id"])}
    for row in rows:
        where, at = f"row {row['row_id']}", places.get(row["row_id"])
        if at is None:
            yield where, "making its shard again gives no such row"
            continue
        stored, again = decode_png(row["image"]["bytes"]), decode_png(made.columns["image"][at]["bytes"])
        difference = np.abs(stored.astype(np.int16) - again.astype(np.int16))
        unlike = differing(row, made.columns, at)
        names = [name for name in unlike if not _near(name, row[name], _value(made.columns[name], at))]
        if result_of(difference, names, elsewhere) == DIFFERS:
            where_else = f" (made with {', '.join(elsewhere)})" if elsewhere else ""
            yield where, f"its image differs by up to {difference.max()} levels when made again{where_else}"
        if difference.any():
            continue  # its figures are those of another image
        for name in names:
            yield where, f"{name} is {_value(made.columns[name], at)!r} when made again, {row[name]!r} as stored"


def _near(name: str, then: Any, now: Any) -> bool:
    if name not in _MEASURED or then is None or now is None:
        return False
    return bool(abs(float(now) - float(then)) <= _TOLERANCE * max(1.0, abs(float(then))))


def _value(values: Any, at: int) -> Any:
    value = None if values is None else values[at]
    return value.item() if isinstance(value, np.generic) else value


def _counted(output: Output, made: MadeShard, table: pa.Table) -> Iterator[str]:
    """Rows and counts that a whole shard gives when it is made again, and that are not recorded."""
    stored = set(table["row_id"].to_pylist())
    missing = [row for row in made.columns["row_id"] if row not in stored]
    if missing:
        yield f"making it again gives {len(missing)} rows that are not stored, such as {missing[0]}"
    for name in ("rows_out", "quarantined", "dropped", "held_out"):
        then, now = getattr(output.counts, name), getattr(made.counts, name)
        if then != now and not missing:
            yield f"{now} rows are {name} when it is made again; the manifest says {then}"


def _lost(folder: Folder, output: Output, made: MadeShard, elsewhere: Sequence[str]) -> Iterator[str]:
    """Quarantine records that a shard does not give when it is made again, those of excluded rows aside."""
    if output.quarantine is None:
        return
    names = ["source_key", "variant", "stage", "error_class", *(() if elsewhere else ("message",))]
    stored = quarantine_table(output.quarantine.path, folder.read(output.quarantine.path)).to_pylist()
    again = quarantine_records(made.facts, made.rejects)
    excluded = {record["source_key"] for record in again if not record["error_class"]}
    then, now = ({tuple(record[name] for name in names) for record in records} for records in (stored, again))
    for record in sorted(record for record in then ^ now if record[0] not in excluded):
        what = "is in quarantine and not" if record in then else "is not in quarantine but"
        yield f"{record[0]}, variant {record[1]} {what} when made again: {': '.join(map(str, record[2:]))}"
