"""Checks that the source rows of a dataset are what its rows say, and still what they were when these were made."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.audit.replay import plan_of
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.dataset.files.quarantine import quarantine_table
from hardset.pipeline.sources.base import SourceReader, narrowed, unfixed
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError, one_line
from hardset.schemas.job.sources import Source
from hardset.schemas.records.run import Manifest, Output, Plan, SourceRange
from hardset.schemas.rows.contract import Column
from hardset.schemas.rows.user_columns import recorded_columns

_IDENTITY = ("label", "source_index", "parent_row_id")
_Fault = tuple[str, str]


def source_faults(folder: Folder, manifest: Manifest, source_of: Callable[[Plan], Source]) -> Iterator[_Fault]:
    """Rows that do not tell of their source row, or whose source row changed or vanished: place and what is wrong.

    Every source row is decoded again. `source_of`: the source section that a plan's rows are read by, where it lies
    now. Raises JobError where it cannot be opened, RunError where a plan is gone.
    """
    parts: defaultdict[tuple[str, int], list[Output]] = defaultdict(list)
    plans = {run: plan_of(folder, run) for run in sorted({output.run_id for output in manifest.outputs})}
    ranges = {(run, shard.key): shard.range for run, plan in plans.items() for shard in plan.shards}
    for output in manifest.outputs:
        number = ranges.get((output.run_id, output.key))
        if number is not None and not output.kept:
            parts[output.run_id, number].append(output)
    readings = {
        run: _Reading(plan, open_source(source_of(plan), plan.classes, plan.commit)) for run, plan in plans.items()
    }
    for (run, number), outputs in parts.items():
        found = readings[run].rows(plans[run].ranges[number])
        for output in outputs:
            yield from _compare(folder, output, found, recorded_columns(manifest.user_columns))
            yield from _wrongly_lost(folder, output, found)


@dataclass(frozen=True)
class _Found:
    """Source rows by key, each with its digest and all that made rows repeat of it, and why others are lost."""

    rows: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    rest: str = "it is gone"
    """Why a row that is in neither is lost."""

    def beside(self, other: _Found) -> _Found:
        """The rows of both."""
        return _Found(self.rows | other.rows, self.lost | other.lost)


@dataclass(frozen=True)
class _Reading:
    """Reads the ranges of a plan again."""

    plan: Plan
    reader: SourceReader

    def rows(self, part: SourceRange) -> _Found:
        """The range's rows."""
        try:
            rows, rejects = self.reader.read(unfixed(part), self.plan.image, len(self.plan.classes))
        except (UserError, OSError, EOFError, ValueError) as error:
            if len(part.members) > 1:
                middle = (part.start + part.stop) // 2
                return self.rows(narrowed(part, part.start, middle)).beside(
                    self.rows(narrowed(part, middle, part.stop))
                )
            gone = f"cannot be read: {one_line(error, 200)}"
            return _Found(lost={f"{part.file}/{part.members[0]}": gone}) if part.members else _Found(rest=gone)
        lost = {reject.key: f"{reject.error_class}: {reject.message}" for reject in rejects}
        return _Found(dict(zip(rows.keys, zip(rows.sha256, _repeated(rows), strict=True), strict=True)), lost)


def _repeated(rows: CleanRows) -> Iterator[dict[str, Any]]:
    """What the rows made of each source row repeat of it, by column."""
    for at in range(len(rows)):
        parent = rows.row_ids[at] if rows.row_ids else None
        identity = (int(rows.labels[at]), int(rows.indices[at]), parent)
        yield dict(zip(_IDENTITY, identity, strict=True)) | {name: values[at] for name, values in rows.user.items()}


def _compare(folder: Folder, output: Output, found: _Found, user: Sequence[Column]) -> Iterator[_Fault]:
    if output.data is None:
        return
    path = output.data.path
    columns = ["row_id", "source_key", "source_sha256", *_IDENTITY, *(column.name for column in user)]
    try:
        rows = pq.read_table(io.BytesIO(folder.read(path)), columns=columns).to_pylist()
    except (OSError, ValueError):
        return  # the audit of the files has said so
    types = {column.name: column.type for column in user}
    for row in rows:
        key, where = row["source_key"], f"{path} row {row['row_id']}"
        if key not in found.rows:
            yield where, f"its source row {key} is not there any more: {found.lost.get(key, found.rest)}"
            continue
        sha256, repeated = found.rows[key]
        if sha256 != row["source_sha256"]:
            yield where, f"its source row {key} has changed since: its pixels have the digest {sha256[:12]} now"
        for name, value in repeated.items():
            now = pa.scalar(value, types[name]).as_py() if name in types else value
            if repr(row[name]) != repr(now):  # so that two values that are no number are alike
                yield where, f"{name} is {row[name]!r}; its source row {key} has {now!r}"


def _wrongly_lost(folder: Folder, output: Output, found: _Found) -> Iterator[_Fault]:
    """Rows that quarantine calls unreadable, and that can be read."""
    if output.quarantine is None:
        return
    try:
        rows = quarantine_table(output.quarantine.path, folder.read(output.quarantine.path)).to_pylist()
    except (OSError, ValueError):
        return
    for at, row in enumerate(rows):
        if row.get("stage") == "read" and row.get("source_key") in found.rows:
            yield f"{output.quarantine.path} row {at}", f"its source row {row['source_key']} can be read"
