"""Checks that the source rows of a dataset are still what they were when its rows were made."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from hardset.pipeline.audit.replay import plan_of
from hardset.pipeline.sources.base import SourceReader, narrowed, unfixed
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError
from hardset.schemas.job.sources import Source
from hardset.schemas.records.run import Manifest, Output, Plan, SourceRange

_COLUMNS = ["row_id", "source_key", "source_sha256"]


def source_faults(folder: Folder, manifest: Manifest, source_of: Callable[[Plan], Source]) -> Iterator[tuple[str, str]]:
    """Rows whose source changed or vanished: file and row, and what happened. Every source row is decoded again.

    `source_of`: the source section that a plan's rows are read by, where it lies now. Raises JobError where it cannot
    be opened, RunError where a plan is gone.
    """
    parts: defaultdict[tuple[str, int], list[Output]] = defaultdict(list)
    plans = {run: plan_of(folder, run) for run in sorted({output.run_id for output in manifest.outputs})}
    ranges = {(run, shard.key): shard.range for run, plan in plans.items() for shard in plan.shards}
    for output in manifest.outputs:
        number = ranges.get((output.run_id, output.key))
        if output.data is not None and number is not None and not output.kept:
            parts[output.run_id, number].append(output)
    readings = {
        run: _Reading(plan, open_source(source_of(plan), plan.classes, plan.commit)) for run, plan in plans.items()
    }
    for (run, number), outputs in parts.items():
        found = readings[run].digests(plans[run].ranges[number])
        for output in outputs:
            yield from _compare(folder, output, found)


@dataclass(frozen=True)
class _Lost:
    """A source row without digest."""

    why: str


Digests = dict[str, str | _Lost]
_REST = ""
"""Key that stands for all rows of a file that cannot be read."""


@dataclass(frozen=True)
class _Reading:
    """Reads the ranges of a plan again."""

    plan: Plan
    reader: SourceReader

    def digests(self, part: SourceRange) -> Digests:
        """Digests of the range's rows by key."""
        try:
            rows, rejects = self.reader.read(unfixed(part), self.plan.image, len(self.plan.classes))
        except (UserError, OSError, EOFError, ValueError) as error:
            if len(part.members) > 1:
                middle = (part.start + part.stop) // 2
                halves = (narrowed(part, part.start, middle), narrowed(part, middle, part.stop))
                return self.digests(halves[0]) | self.digests(halves[1])
            gone = _Lost(f"cannot be read: {' '.join(str(error).split())[:200]}")
            return {f"{part.file}/{part.members[0]}" if part.members else _REST: gone}
        found: Digests = dict(zip(rows.keys, rows.sha256, strict=True))
        return found | {reject.key: _Lost(f"{reject.error_class}: {reject.message}") for reject in rejects}


def _compare(folder: Folder, output: Output, found: Digests) -> Iterator[tuple[str, str]]:
    assert output.data is not None
    path = output.data.path
    try:
        rows = pq.read_table(io.BytesIO(folder.read(path)), columns=_COLUMNS).to_pylist()
    except (OSError, ValueError):
        return  # the audit of the files has said so
    for row in rows:
        key, where = row["source_key"], f"{path} row {row['row_id']}"
        now = found.get(key, found.get(_REST, _Lost("it is gone")))
        if isinstance(now, _Lost):
            yield where, f"its source row {key} is not there any more: {now.why}"
        elif now != row["source_sha256"]:
            yield where, f"its source row {key} has changed since: its pixels have the digest {now[:12]} now"
