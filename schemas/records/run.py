"""Records of a run: plan, receipts and manifest. They hold times and hosts, which never stand in rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hardset.schemas.base import Record, Spec
from hardset.schemas.records.admission import Admission
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.throughput import StageSeconds, Throughput


class SourceRange(Record):
    """Contiguous range of source rows, as planned and read by a source."""

    split: str
    """Split of the rows."""
    file: str
    """Name of the file (or class folder) relative to the source's path; no credentials, no query."""
    start: int
    """First row of the range in the file."""
    stop: int
    """One past the last row of the range in the file."""
    digest: str
    """Digest that fixes the bytes of the rows: content hash or entity tag of the file, or of the listed files."""
    members: tuple[str, ...] = ()
    """Files of the range, relative to `file`, if each file is one row."""
    label: int | None = None
    """Class of all rows of the range, if it is that of their folder."""
    member_digests: tuple[str, ...] = ()
    """Prefix of each member's own digest, which tells which members changed; `digest` covers them all."""
    picked: tuple[int, ...] = ()
    """Rows of the file that a sample took, by their positions in it; `start` and `stop` then count in the sample."""
    kept: bool = False
    """Whether the range is no longer in the source as recorded: its shards stay listed, but cannot be read again."""
    unreadable: str = ""
    """Why the file cannot be read; the range then stands for it with one row, which goes to quarantine."""

    @property
    def rows(self) -> int:
        """Number of rows in the range."""
        return self.stop - self.start

    def position(self, row: int) -> int:
        """Position inside the file of a row that is counted as the range counts."""
        return self.picked[row - self.start] if self.picked else row


class Image(Spec):
    """Shape of every clean row of a run."""

    height: int
    width: int
    channels: Literal[1, 3]


class PartnerPool(Record):
    """Rows of one split that mixing draws partners from."""

    split: str
    """Split of the rows."""
    parts: tuple[SourceRange, ...]
    """Parts of the source that the rows are among."""
    keys: tuple[str, ...]
    """Keys of the rows, in the order of the pool."""
    digest: str
    """Digest of keys, labels and pixels of all rows; part of the keys of shards that mix."""


class Shard(Record):
    """Unit of work: one recipe over one range of source rows, or over one range of samples to draw."""

    index: int
    """Position of the shard in the plan."""
    key: str
    """Hash of everything that determines the shard's bytes, 64 hex digits."""
    recipe: int
    """Position of the recipe in the job."""
    range: int | None
    """Position of the range in the plan; None for samples."""
    split: str
    """Split of the output rows."""
    start: int
    """First source row of the range, or the first sample."""
    stop: int
    """One past the last source row or sample."""

    @property
    def rows(self) -> int:
        """Number of source rows, or samples, that go in."""
        return self.stop - self.start


class Changes(Spec):
    """Source files that differ from the newest earlier run of the same job, by relative name."""

    since: str
    """Run id of the earlier run."""
    new: tuple[str, ...] = ()
    """New files, at most the first 100, as for the other lists; `counts` has the numbers of all."""
    changed: tuple[str, ...] = ()
    """Files whose bytes changed."""
    vanished: tuple[str, ...] = ()
    counts: dict[Literal["new", "changed", "vanished"], int]


class Plan(Spec):
    """Plan of a run: all its shards, and the inputs that they were derived from."""

    contract: str
    run_id: str
    logical_date: str | None = None
    """Date that the run stands for, YYYY-MM-DD; None if the job names none."""
    job: dict[str, Any]
    """Resolved job, without credentials."""
    classes: tuple[str, ...]
    """Class names, in label order."""
    image: Image
    models: dict[str, str]
    """SHA-256 by role: model under attack (`victim`, and `victim:<n>` for members of an ensemble), held-out models
    (`transfer:<name>`) and generators (`generator:<recipe position>`)."""
    recipes: tuple[str, ...] = ()
    """Recipe ids in the order of the job; a worker derives the same ids if its code is that of the plan. Empty in plans
    of hardset 0.1."""
    reading: str = ""
    """Digest of the settings and the code version that rows are read by; a worker derives the same digest. Empty in
    plans of hardset 0.1."""
    commit: str = ""
    """Commit of the repository on the Hugging Face Hub, or version of the Delta table, that rows are read at; empty for
    any other source."""
    ranges: tuple[SourceRange, ...]
    shards: tuple[Shard, ...]
    changes: Changes | None = None
    """Changes of the source since the newest earlier run; None if there is no earlier run."""
    lease: int = 0
    """Number of the lease of the last start that wrote the plan; 0 if the version of hardset did not record it."""
    user_columns: dict[str, str] = Field(default_factory=dict)
    """Columns of the user's own behind those of the contract, in their order: name and type, such as `int64`."""
    partners: tuple[PartnerPool, ...] = ()
    """Pools that mixing draws partners from, one for each split; none where no recipe mixes."""
    warnings: tuple[str, ...] = ()
    """What reading the source takes for granted, one sentence each, such as classes found in the labels."""

    def is_kept(self, shard: Shard) -> bool:
        """Whether the source of a shard changed or vanished after it was made, and the job keeps it listed."""
        return shard.range is not None and self.ranges[shard.range].kept


class DataFile(Record):
    """Published file."""

    path: str
    """Path relative to the dataset folder."""
    bytes: int
    sha256: str
    rows: int


class Receipt(Record):
    """Receipt of a committed shard, created once by a conditional create, so that one attempt wins."""

    run_id: str
    index: int
    key: str
    data: DataFile | None
    """File of the rows; None if there are none, since empty files are never written."""
    content_sha256: str
    quarantine: DataFile | None
    counts: Counts
    excluded: tuple[int, ...] = ()
    """Rows that were excluded because making them fails, by their number in the shard; each is in quarantine."""
    attempt: int
    started: str
    """UTC, ISO 8601."""
    finished: str
    host: str
    device: str
    process: int = 0
    """Process id of the worker on its host; 0 if the version of hardset did not record it."""
    seconds: StageSeconds | None = None
    """Seconds per stage; None if the version of hardset did not measure them."""
    device_batch: int | None = None
    """Rows of the smallest part of a batch that had to be divided, because it did not fit the device's memory. None:
    all batches were run whole, with `run.batch` rows."""
    lease: int = 0
    """Number of the lease under which the shard was made, which tells the start that made it; 0 if the version of
    hardset did not record it."""

    def output(self, shard: Shard) -> Output:
        """Entry of a manifest for the committed `shard`."""
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
    """Shard that was given up."""

    index: int
    key: str
    attempts: int
    error: str


class Output(Record):
    """Entry of a manifest for a committed shard."""

    index: int
    key: str
    run_id: str
    """Id of the run that made the file; an earlier run if the shard was reused."""
    split: str
    recipe: int
    data: DataFile | None
    content_sha256: str
    quarantine: DataFile | None
    counts: Counts
    excluded: tuple[int, ...] = ()
    """Rows that were excluded because making them fails, by their number in the shard."""
    device_batch: int | None = None
    """Rows of the smallest part of a divided batch, as in the receipt."""
    kept: bool = False
    """Whether the source rows changed or vanished since, and the job keeps the shard listed."""


class Manifest(Spec):
    """Manifest of a whole run. It is written last: its presence is the commit."""

    contract: str
    status: Literal["complete", "incomplete"]
    """Status of the run. incomplete: some shards failed; the others are committed and listed."""
    run_id: str
    logical_date: str | None = None
    """Logical date of the plan."""
    job: dict[str, Any]
    classes: tuple[str, ...]
    image: Image
    models: dict[str, str]
    recipes: dict[str, dict[str, Any]]
    """Resolved recipes by recipe_id."""
    user_columns: dict[str, str] = Field(default_factory=dict)
    """Columns of the user's own, from the plan."""
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
    """Warnings that cast doubt on the attacks, such as masked gradients, one sentence each with the remedy."""
    throughput: Throughput | None = None
    """Throughput of the start that finished the run; None if it had no shard to make, or if the version of hardset did
    not measure it."""
    statement_sha256: str | None = None
    """Digest of statement.intoto.json; None if no rows came out, or if the version of hardset did not write it."""
    lease: int = 0
    """Number of the lease under which the manifest was written; 0 if the version of hardset did not record it. The
    manifest with the higher number is newer, whatever the clocks say."""
    changes: Changes | None = None
    """Changes of the source, from the plan."""
    clean: CleanAccuracy | None = None
    """Clean accuracy of the model under attack on a sample of the source; None without a model, or if the version of
    hardset did not measure it."""
    admitted: tuple[Admission, ...] = ()
    """Figures of the generators whose rows were admitted; those of recipes with `admit: unmeasured` are missing."""

    @property
    def data_files(self) -> tuple[DataFile, ...]:
        """Data files of the run, in plan order."""
        return tuple(output.data for output in self.outputs if output.data is not None)
