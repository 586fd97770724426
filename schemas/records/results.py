"""What `--json` leaves on the last line of stdout, for schedulers: a contract that only grows.

A key is never taken away or given another meaning; readers pass over keys that they do not know.
"""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from hardset.schemas.base import Spec
from hardset.schemas.records.run import Changes, Counts, Failure
from hardset.schemas.records.throughput import Busy


class Transfer(Spec):
    """Attacked rows that fool a held-out model."""

    fooled: int
    of: int


class Pace(Spec):
    """How fast shards were made, and what their actors spent the time with."""

    rows: int
    """Rows stored."""
    seconds: float
    """From the start of the first shard to the end of the last, over all actors."""
    rows_per_s: float
    busy: Busy
    """Mean over the actors."""
    bound: Literal["source", "device", "sink", "nothing"]
    """What the actors spent most of the time with."""
    told: str
    """The same in a sentence."""


class LeftOver(Spec):
    """What the next start has to do."""

    shards: int
    rows: int
    """Rows that should come out of them."""
    minutes: float | None
    """At the pace of this start."""


class Ended(Spec):
    """How `hardset generate` ended: done, in part, or stopped."""

    status: Literal["complete", "incomplete", "stopped", "nothing to do"]
    """incomplete: shards were given up."""
    run_id: str
    logical_date: str | None
    """The night the run stands for, YYYY-MM-DD."""
    shards: int
    """Planned."""
    shards_made: int
    """By this start."""
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    """Where an attack was weaker than it looks; they change no exit code."""
    made: Counts
    """Of this start."""
    totals: Counts
    """Of the whole run; of a stopped run, what this start made."""
    transfer: dict[str, Transfer]
    """By held-out model."""
    throughput: Pace | None
    """None where this start made nothing."""
    changes: Changes | None
    """In the source, since the newest earlier run."""
    stopped_by: Literal["signal", "max_rows", "max_minutes"] | None
    left: LeftOver | None
    """Of a stopped run."""
    exit_code: Literal[0, 3, 4]


class Refused(Spec):
    """A command that could not do its work."""

    status: Literal["failed", "stopped", "held"]
    """held: another run holds the output; with `--if-held skip` the exit code is 0."""
    error: str
    """One sentence: what, where, and what to do."""
    exit_code: Literal[0, 1, 2, 4, 5]


class Submitted(Spec):
    """How `hardset submit` ended."""

    submission_id: str
    joined: bool
    """The job was there already, pending or running."""
    status: Literal["SUBMITTED", "SUCCEEDED", "FAILED", "STOPPED"]
    """Ray's; SUBMITTED with `--no-wait`."""
    exit_code: Literal[0, 1, 2, 3, 4, 5] | None = None
    """The driver's own; 4 where the job was stopped. None with `--no-wait`."""
    result: Ended | Refused | None = None
    """What the driver left; None where it was killed before it could."""


RESULT: TypeAdapter[Ended | Refused | Submitted] = TypeAdapter(Ended | Refused | Submitted)
"""The result of `generate` and `submit`."""
