"""Results of functions, printed by `--json` on the last line of stdout for schedulers: a contract that only grows.

A key is never removed or changed in meaning; readers must ignore keys that they do not know.
"""

from __future__ import annotations

from typing import Literal

from pydantic import TypeAdapter

from hardset.schemas.base import Spec
from hardset.schemas.records.admission import Admission
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.evaluation import Finding
from hardset.schemas.records.run import Changes, Failure, Image
from hardset.schemas.records.throughput import Busy


class Transfer(Spec):
    """Numbers of attacked rows that fool a held-out model."""

    fooled: int
    of: int


class Pace(Spec):
    """Throughput of a run, and the stage that limited it."""

    rows: int
    """Number of rows stored."""
    seconds: float
    """Seconds from the start of the first shard to the end of the last, over all actors."""
    rows_per_s: float
    busy: Busy
    """Busy shares of the stages, mean over the actors."""
    bound: Literal["source", "device", "sink", "nothing"]
    """Stage that limited the run: the one the actors spent most time with."""
    told: str
    """The same in one sentence."""


class LeftOver(Spec):
    """Work left for the next start."""

    shards: int
    rows: int
    """Number of rows expected from these shards."""
    minutes: float | None
    """Estimated minutes, at the rate of this start."""


class Ended(Spec):
    """Result of `hardset generate`: complete, incomplete or stopped."""

    status: Literal["complete", "incomplete", "stopped", "nothing to do"]
    """incomplete: shards were given up."""
    run_id: str
    logical_date: str | None
    """Date that the run stands for, YYYY-MM-DD."""
    shards: int
    """Number of planned shards."""
    shards_made: int
    """Number of shards made by this start."""
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    """Warnings where an attack was weaker than it looks; they do not change the exit code."""
    made: Counts
    """Row counts of this start."""
    totals: Counts
    """Row counts of the whole run; if it was stopped, of this start."""
    clean: CleanAccuracy | None = None
    """Clean accuracy of the model under attack on a sample of the source, with its 95 % interval, and what explains a
    low one; None without a model."""
    admitted: tuple[Admission, ...] = ()
    """Figures of the generators whose rows were admitted."""
    transfer: dict[str, Transfer]
    """Transfer by held-out model."""
    throughput: Pace | None
    """Throughput of this start; None if it made nothing."""
    changes: Changes | None
    """Changes of the source since the newest earlier run."""
    stopped_by: Literal["signal", "max_rows", "max_minutes"] | None
    left: LeftOver | None
    """Work left over by a stopped run; None for a finished one."""
    report: str | None = None
    """Place of the report; None where none was written."""
    exit_code: Literal[0, 3, 4]


class Measured(Spec):
    """Trial of a recipe on the machine that planned: rows that were made, timed and thrown away."""

    rows: int
    """Source rows, or samples, that went in."""
    seconds: float
    """Seconds that one actor took for them, from reading to encoded bytes."""
    rows_per_s: float
    bytes_per_row: float
    """Bytes of Parquet for each row that came out."""
    gradients_per_row: float
    """Gradients for each row that came out; 0 where the recipe is no attack."""


class Estimate(Spec):
    """What is left of a run, extrapolated from trials of its recipes."""

    device: str
    """Device of the trials: cpu or cuda."""
    actors: int
    """Number of actors that the hours are told for."""
    hours: float
    """Hours of that many actors, if none waits for another or for storage and all are as fast as the trial."""
    bytes: int
    """Bytes of Parquet that are still to be written."""
    price_per_hour: float | None = None
    """Price of one actor's hour, as it was given; in the currency of whoever asked."""
    price: float | None = None
    """Price of all actor hours; None where no price was given."""


class PlannedRecipe(Spec):
    """Planned shards and rows of one recipe."""

    recipe: str
    """Kind of recipe: attack and norm, or augment, or sample."""
    shards: int
    rows_in: int
    rows_out: int
    done: int
    """Shards that are committed already."""
    gradients: int | None = 0
    """Most gradients of the model that all its rows can take, where no row falls early; None where another library or
    a function decides."""
    queries: int | None = 0
    """The same for forward passes of attacks without gradients."""
    measured: Measured | None = None
    """Its trial; None where none was asked for, or all its shards are done."""


class Planned(Spec):
    """Result of `hardset plan`: the work of a run, and how much of it is done."""

    run_id: str
    shards: int
    done: int
    """Shards that are committed already."""
    recipes: tuple[PlannedRecipe, ...]
    """Recipes in the order of the job."""
    logical_date: str | None
    """Date that the run stands for, YYYY-MM-DD."""
    changes: Changes | None
    """Changes of the source since the newest earlier run."""
    warnings: tuple[str, ...]
    """Warnings about settings that will hardly work, one sentence each."""
    classes: int
    image: Image
    """Shape of every row."""
    rows: int = 0
    """Number of rows that the whole run makes at most."""
    pixel_bytes: int = 0
    """Bytes of the pixels of these rows; stored PNG in Parquet takes about as much or less, and the columns more."""
    estimate: Estimate | None = None
    """Time and size of what is left; None where no trial was asked for."""


class Evaluated(Spec):
    """Result of `hardset evaluate`; the whole record is in evaluation.json."""

    status: Literal["complete", "nothing to do", "failed", "stopped"]
    """failed: a gate failed."""
    evaluation_id: str | None
    """Id of the evaluation; None if it was stopped, like `rows`."""
    parts: int
    """Number of planned parts."""
    parts_made: int
    """Number of parts made by this start."""
    rows: int | None
    """Number of evaluated source rows."""
    figures: dict[str, float]
    """Figures in [0, 1] under the names that gates use; with several models MODEL:NAME."""
    warnings: tuple[Finding, ...]
    failed: tuple[str, ...]
    """A sentence for each gate that does not hold."""
    report: str | None = None
    """Place of the report; None where none was written."""
    exit_code: Literal[0, 1, 4]


class Hardened(Spec):
    """Result of `hardset harden`; the whole record is in the output folder."""

    status: Literal["complete", "nothing to do", "stopped"]
    loop_id: str
    rounds: int
    """Number of finished rounds; for a stopped loop those of this start."""
    ended_by: Literal["rounds", "gradients", "rows", "minutes"] | None = None
    """None where it was stopped, as is all below."""
    best: int | None = None
    """Number of the promoted round; 0: the initial weights."""
    judged_on: str | None = None
    """Split that the figures were measured on."""
    before: dict[str, float] | None = None
    """Figures of the initial weights, in [0, 1]."""
    after: dict[str, float] | None = None
    """Figures of the best round, in [0, 1]."""
    gradients: int | None = None
    """Number of all attack gradients, of training and of measuring."""
    weights: str | None = None
    """URL of the promoted weights; None if a gate failed."""
    sha256: str | None = None
    """SHA-256 of the best round's weight file."""
    failed: tuple[str, ...] = ()
    """A sentence for each gate that does not hold."""
    warnings: tuple[str, ...] = ()
    report: str | None = None
    """Place of the report; None where none was written."""
    exit_code: Literal[0, 1, 4]


class Verified(Spec):
    """Result of `hardset verify`: what was checked, and every fault found."""

    status: Literal["verified", "failed"]
    files: int
    rows: int
    rejudged: int
    """Number of rows judged again."""
    remade: int = 0
    """Number of rows made again."""
    signature: Literal["none", "unchecked", "valid", "invalid"] = "none"
    """Whether the run is signed, and by the key that was brought; unchecked: no key was brought."""
    faults: tuple[str, ...]
    """Faults, one sentence each; empty if the status is verified."""
    notes: tuple[str, ...] = ()
    """What was not checked, and why."""


class Signed(Spec):
    """Result of `hardset sign`."""

    status: Literal["signed"]
    run_id: str
    keyid: str
    """Id of the key: the SHA-256 of its public half, as securesystemslib takes it."""
    envelope: str
    """Path of the DSSE envelope in the dataset folder."""


class Refused(Spec):
    """Result of a command that could not do its work."""

    status: Literal["failed", "stopped", "held"]
    """held: another run holds the output; with `--if-held skip` the exit code is 0."""
    error: str
    """One sentence: what, where, and what to do."""
    exit_code: Literal[0, 1, 2, 4, 5]


class Submitted(Spec):
    """Result of `hardset submit`."""

    submission_id: str
    joined: bool
    """Whether the job already existed, pending or running."""
    status: Literal["SUBMITTED", "SUCCEEDED", "FAILED", "STOPPED"]
    """Status by Ray; SUBMITTED with `--no-wait`."""
    exit_code: Literal[0, 1, 2, 3, 4, 5] | None = None
    """Exit code of the driver; 4 if the job was stopped. None with `--no-wait`."""
    result: Ended | Refused | None = None
    """Result printed by the driver; None if it was killed before that."""


RESULT: TypeAdapter[Ended | Refused | Submitted] = TypeAdapter(Ended | Refused | Submitted)
"""The result of `generate` and `submit`."""
