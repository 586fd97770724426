"""The records of a run: plan, receipts, manifest. Clocks and hosts live here, never in rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hardset.schemas.base import Record, Spec
from hardset.schemas.records.throughput import StageSeconds, Throughput


class SourceRange(Record):
    """A contiguous range of source rows, as a source plans it and reads it."""

    split: str
    """Split the rows belong to."""
    file: str
    """Name of the file (or class folder) relative to the source's path; no credentials, no query."""
    start: int
    """First row inside the file."""
    stop: int
    """One past the last row inside the file."""
    digest: str
    """Fixes the bytes of these rows: content hash or entity tag of the file, or of the listed files."""
    members: tuple[str, ...] = ()
    """Names relative to `file` of the files of the range, where each file is one row."""
    label: int | None = None
    """Class of every row of the range, where it is the folder's and not the row's."""
    member_digests: tuple[str, ...] = ()
    """Start of each member's own digest, to tell which of them changed; `digest` covers them all."""
    kept: bool = False
    """Not in the source any more as it says: its shards stay listed, and can be read no more."""

    @property
    def rows(self) -> int:
        """Rows in the range."""
        return self.stop - self.start


class Image(Spec):
    """Shape of every clean row of a run."""

    height: int
    width: int
    channels: Literal[1, 3]


class Shard(Record):
    """The unit of work: one recipe over one range of source rows, or one range of samples to draw."""

    index: int
    """Position in the plan."""
    key: str
    """Hash of all that determines the shard's bytes, 64 hex digits."""
    recipe: int
    """Position of the recipe in the job."""
    range: int | None
    """Position in the plan's ranges; none for samples."""
    split: str
    """Split of the output rows."""
    start: int
    """First source row of the range, or first sample."""
    stop: int
    """One past the last."""

    @property
    def rows(self) -> int:
        """Source rows, or samples, that go in."""
        return self.stop - self.start


class Changes(Spec):
    """Source files that are not those the newest earlier run of the same job lists, by relative name."""

    since: str
    """Run id of the earlier run."""
    new: tuple[str, ...] = ()
    """At most the first 100, as of the others; `counts` has them all."""
    changed: tuple[str, ...] = ()
    """Files of which the bytes changed."""
    vanished: tuple[str, ...] = ()
    counts: dict[Literal["new", "changed", "vanished"], int]


class Plan(Spec):
    """All shards of a run, and what they were worked out from."""

    contract: str
    run_id: str
    logical_date: str | None = None
    """The night that the run stands for, YYYY-MM-DD; None where the job names none."""
    job: dict[str, Any]
    """The resolved job, without credentials."""
    classes: tuple[str, ...]
    """Class names, in label order."""
    image: Image
    models: dict[str, str]
    """SHA-256 by role: of the model under attack (`victim`, and `victim:<n>` for members of an ensemble), of held-out
    models (`transfer:<name>`) and of generators (`generator:<recipe position>`)."""
    recipes: tuple[str, ...] = ()
    """Recipe ids in the order of the job, which every worker finds, too, if its code is that of the plan; empty in
    plans of hardset 0.1."""
    ranges: tuple[SourceRange, ...]
    shards: tuple[Shard, ...]
    changes: Changes | None = None
    """What has changed in the source since the newest earlier run; None where there is none to compare with."""

    def is_kept(self, shard: Shard) -> bool:
        """Whether the source of a shard changed or vanished since it was made, and the job keeps it listed."""
        return shard.range is not None and self.ranges[shard.range].kept


class DataFile(Record):
    """A published file."""

    path: str
    """Relative to the dataset folder."""
    bytes: int
    sha256: str
    rows: int


class Counts(Record):
    """What became of the rows; add them up with `total`."""

    rows_in: int = 0
    """Source rows, or samples, that went in."""
    expected: int = 0
    """Rows that should come out: rows_in times variants."""
    rows_out: int = 0
    """Rows stored."""
    quarantined: int = 0
    """Rows that could not be made; expected = rows_out + quarantined + dropped + held_out."""
    dropped: int = 0
    """Resisting rows left out because the job keeps successes only."""
    held_out: int = 0
    """Rows not made because source.hold_out leaves their parents to the other part."""
    attacked: int = 0
    """Adversarial rows whose clean prediction was right (for targeted attacks, any whose
    target is not their label): what success is counted over."""
    success: int = 0
    """Attacked rows whose stored image fools the model."""
    signals: dict[str, int] = Field(default_factory=dict)
    """Attacked rows by what they signal: `flag:<name>`, `found_by:<attack>` (of successes), `several_steps` (rows that
    took more than one step), `several_steps:no_rise`, and by held-out model `transfer_counted:<name>` and
    `transfer_fooled:<name>`. Nothing is listed with 0."""

    def __add__(self, other: Counts) -> Counts:
        numbers = {k: getattr(self, k) + getattr(other, k) for k in Counts.model_fields if k != "signals"}
        names = sorted({*self.signals, *other.signals})
        return Counts(**numbers, signals={k: self.signals.get(k, 0) + other.signals.get(k, 0) for k in names})


class Receipt(Record):
    """Says that a shard is committed. Created once, conditionally: one winner."""

    run_id: str
    index: int
    key: str
    data: DataFile | None
    """None where no row came out: there are no empty files."""
    content_sha256: str
    quarantine: DataFile | None
    counts: Counts
    excluded: tuple[int, ...] = ()
    """Rows left out because whoever makes them fails, counted as the shard counts; each is in quarantine."""
    attempt: int
    started: str
    """UTC, ISO 8601."""
    finished: str
    host: str
    device: str
    process: int = 0
    """Process id of the worker on its host; 0 where the version of hardset kept none."""
    seconds: StageSeconds | None = None
    """None where the version of hardset measured none."""
    device_batch: int | None = None
    """Rows of the smallest part that a batch was divided into, because the device's memory did not hold it whole.
    None: all batches were run whole, as `run.batch` says."""

    def output(self, shard: Shard) -> Output:
        """The committed `shard` as a manifest lists it."""
        return Output(
            index=self.index,
            key=self.key,
            run_id=self.run_id,
            split=shard.split,
            recipe=shard.recipe,
            data=self.data,
            content_sha256=self.content_sha256,
            quarantine=self.quarantine,
            counts=self.counts,
            excluded=self.excluded,
            device_batch=self.device_batch,
        )


class Failure(Spec):
    """A shard that was given up."""

    index: int
    key: str
    attempts: int
    error: str


class Output(Record):
    """A committed shard as the manifest lists it."""

    index: int
    key: str
    run_id: str
    """The run that made the file; an earlier one where the shard was already there."""
    split: str
    recipe: int
    data: DataFile | None
    content_sha256: str
    quarantine: DataFile | None
    counts: Counts
    excluded: tuple[int, ...] = ()
    """Rows left out because whoever makes them fails, counted as the shard counts."""
    device_batch: int | None = None
    """As in the receipt: smaller than `run.batch` where the device's memory did not hold a whole batch."""
    kept: bool = False
    """Its source rows changed or vanished since, and the job keeps them listed."""


class Manifest(Spec):
    """The record of a whole run. Written last: its presence is the commit."""

    contract: str
    status: Literal["complete", "incomplete"]
    """incomplete: some shards failed; the others are committed and listed."""
    run_id: str
    logical_date: str | None = None
    """That of the plan."""
    job: dict[str, Any]
    classes: tuple[str, ...]
    image: Image
    models: dict[str, str]
    recipes: dict[str, dict[str, Any]]
    """Resolved recipes by recipe_id."""
    schema_sha256: str
    """Digest of the Arrow schema of the data files."""
    outputs: tuple[Output, ...]
    failures: tuple[Failure, ...]
    totals: Counts
    content_sha256: str
    """Digest over the shards' content digests, in plan order."""
    started: str
    finished: str
    environment: dict[str, str]
    """Versions of Python and of the libraries that touch the rows."""
    warnings: tuple[str, ...] = ()
    """What casts doubt on the attacks of the run, such as masked gradients, one sentence each with the remedy."""
    throughput: Throughput | None = None
    """Throughput of the start that finished the run; None if it had no shard to make, or if the version of hardset did
    not measure it."""
    statement_sha256: str | None = None
    """Digest of statement.intoto.json; None where no rows came out, or the version of hardset wrote none."""
    lease: int = 0
    """Number of the lease under which it was written. Of two manifests the one with the higher number is newer,
    whatever the clocks say and whichever was written later; 0 where the version of hardset told none."""
    changes: Changes | None = None
    """Those of the plan."""

    @property
    def data_files(self) -> tuple[DataFile, ...]:
        """The files that hold the rows of the run, in plan order."""
        return tuple(output.data for output in self.outputs if output.data is not None)


class Summary(Spec):
    """What a finished run came to, in a few hundred bytes. Written before the manifest, which has the say."""

    run_id: str
    job: str
    """Name of the job."""
    logical_date: str | None
    status: Literal["complete", "incomplete"]
    lease: int
    started: str
    finished: str
    shards: int
    """Planned."""
    made: int
    """Shards that this run made, in whichever start."""
    taken_over: int
    """Shards that earlier runs had made."""
    kept: int
    """Reused shards whose source files changed or vanished since."""
    failures: int
    """Shards that were given up."""
    totals: Counts
    changes: Changes | None

    @classmethod
    def of(cls, manifest: Manifest) -> Summary:
        """The summary of a manifest."""
        made = sum(output.run_id == manifest.run_id for output in manifest.outputs)
        return cls(
            run_id=manifest.run_id,
            job=manifest.job["name"],
            logical_date=manifest.logical_date,
            status=manifest.status,
            lease=manifest.lease,
            started=manifest.started,
            finished=manifest.finished,
            shards=len(manifest.outputs) + len(manifest.failures),
            made=made,
            taken_over=len(manifest.outputs) - made,
            kept=sum(output.kept for output in manifest.outputs),
            failures=len(manifest.failures),
            totals=manifest.totals,
            changes=manifest.changes,
        )

    @property
    def age(self) -> tuple[int, str, str]:
        """Sorts runs, newest last."""
        return self.lease, self.finished, self.run_id
