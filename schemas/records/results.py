"""What functions return, and `--json` leaves on the last line of stdout for schedulers: a contract that only grows.

A key is never taken away or given another meaning; readers pass over keys that they do not know.
"""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from hardset.schemas.base import Spec
from hardset.schemas.records.evaluation import Finding
from hardset.schemas.records.run import Changes, Counts, Failure, Image
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
    """Row counts of this start."""
    totals: Counts
    """Row counts of the whole run; if it was stopped, of this start."""
    transfer: dict[str, Transfer]
    """By held-out model."""
    throughput: Pace | None
    """None where this start made nothing."""
    changes: Changes | None
    """In the source, since the newest earlier run."""
    stopped_by: Literal["signal", "max_rows", "max_minutes"] | None
    left: LeftOver | None
    """Work left over by a stopped run; None for a finished one."""
    exit_code: Literal[0, 3, 4]


class PlannedRecipe(Spec):
    """What a run would make by one recipe."""

    recipe: str
    """Attack and norm, or augment, or sample."""
    shards: int
    rows_in: int
    rows_out: int
    done: int
    """Shards that are committed already."""


class Planned(Spec):
    """What `hardset plan` finds: what a run would do, and what of it is done."""

    run_id: str
    shards: int
    done: int
    """Shards that are committed already."""
    recipes: tuple[PlannedRecipe, ...]
    """In the order of the job."""
    logical_date: str | None
    """The night the run stands for, YYYY-MM-DD."""
    changes: Changes | None
    """In the source, since the newest earlier run."""
    warnings: tuple[str, ...]
    """What will hardly work, one sentence each."""
    classes: int
    image: Image
    """Shape of every row."""


class Evaluated(Spec):
    """How `hardset evaluate` ended; the whole record is in evaluation.json."""

    status: Literal["complete", "nothing to do", "failed", "stopped"]
    """failed: a gate does not hold."""
    evaluation_id: str | None
    """None where it was stopped, as are the rows."""
    parts: int
    """Planned."""
    parts_made: int
    """By this start."""
    rows: int | None
    """Rows of the source that the figures are of."""
    figures: dict[str, float]
    """Shares in [0, 1] under the names that gates use; of several models MODEL:NAME."""
    warnings: tuple[Finding, ...]
    failed: tuple[str, ...]
    """A sentence for each gate that does not hold."""
    exit_code: Literal[0, 1, 4]


class Hardened(Spec):
    """How `hardset harden` ended; the whole record is in the output folder."""

    status: Literal["complete", "nothing to do", "stopped"]
    loop_id: str
    rounds: int
    """Rounds done; of a stopped loop those of this start."""
    ended_by: Literal["rounds", "gradients", "rows", "minutes"] | None = None
    """None where it was stopped, as is all below."""
    best: int | None = None
    """The promoted round; 0: the weights it started from."""
    judged_on: str | None = None
    """Split that the figures are of."""
    before: dict[str, float] | None = None
    """Figures of the weights it started from: shares in [0, 1]."""
    after: dict[str, float] | None = None
    """The same of the best round."""
    gradients: int | None = None
    """All attack gradients, of training and of measuring."""
    weights: str | None = None
    """Where the promoted weights lie; None where a gate does not hold."""
    sha256: str | None = None
    """SHA-256 of the best round's weight file."""
    failed: tuple[str, ...] = ()
    """A sentence for each gate that does not hold."""
    warnings: tuple[str, ...] = ()
    exit_code: Literal[0, 1, 4]


class Verified(Spec):
    """What `hardset verify` looked at, and every fault it found."""

    status: Literal["verified", "failed"]
    files: int
    rows: int
    rejudged: int
    """Adversarial rows that were judged again."""
    faults: tuple[str, ...]
    """A sentence each; none where the status is verified."""
    notes: tuple[str, ...] = ()
    """What was not looked at, and why."""


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
