"""Ledger of a run and its commit protocol: what is published, in which order, and who wins.

A shard's data object has its content's hash in its name, so publishing it twice is harmless. Its receipt is then
created conditionally: of several attempts one wins, the others get the winner's receipt. The manifest comes last.
Whoever reads files that receipts or manifests list sees whole shards only, wherever a writer was cut off.

Each record is sealed (`pipeline.dataset.records.seals`), so that one changed since is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress

from hardset.pipeline.dataset.files.parquet import row_count
from hardset.pipeline.dataset.files.quarantine import SUFFIX, quarantined
from hardset.pipeline.dataset.records.places import DATA, QUARANTINE, files_of, is_own
from hardset.pipeline.dataset.records.seals import parse_record, read_record, sealed
from hardset.pipeline.storage.folder import Folder, in_parallel
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import RunError
from hardset.schemas.records.run import DataFile, Manifest, Output, Plan, Receipt, Shard
from hardset.schemas.records.summary import Summary
from hardset.schemas.records.throughput import StageSeconds

RUNS = "_hardset/runs"
_KEY_DIGITS = 12
_RECEIPT = re.compile(rf"/receipts/\d+-([0-9a-f]{{{_KEY_DIGITS}}})\.json\Z")


class Ledger:
    """The records of one run, in `_hardset/runs/<run id>/` of a dataset folder."""

    def __init__(
        self, folder: Folder, run_id: str, fence: Callable[[], None] = lambda: None, *, lease: int = 0
    ) -> None:
        """`fence`: asked before a record is put over another or a file is removed; raises where this is not allowed.

        `lease`: number of the lease that shards are made under.
        """
        self.folder = folder
        self.run_id = run_id
        self.fence = fence
        self.lease = lease
        self._home = f"{RUNS}/{run_id}"

    def write_plan(self, plan: Plan) -> None:
        """Puts the plan down, over that of an earlier start of the same run."""
        self.fence()
        self.folder.write(f"{self._home}/plan.json", sealed(plan))

    def started(self) -> bool:
        """Whether the run has put its plan down here."""
        return self.folder.exists(f"{self._home}/plan.json")

    def plan(self) -> Plan | None:
        """The plan; None where the run never started."""
        return read_record(self.folder, f"{self._home}/plan.json", Plan)

    def commit(
        self,
        receipt: Receipt,
        data: bytes | None,
        quarantine: bytes | None,
        *,
        seconds: Callable[[], StageSeconds | None] = lambda: None,
    ) -> Receipt:
        """Publishes a shard's files and then its receipt. Returns the receipt of the attempt that was first.

        `data`, `quarantine`: the files that the receipt describes (see `data_file`, `quarantine_file`), None where they
        would be empty. `seconds`: asked once the files are published; its answer goes into the receipt.
        Raises RunError where storage refuses or the data file does not hold the rows counted; the shard is then not
        committed.
        """
        rows = receipt.data.rows if receipt.data is not None else 0
        if rows != receipt.counts.rows_out:
            made = receipt.counts.rows_out
            raise RunError(f"shard {receipt.index}: its data file does not hold the {made} rows that were made")
        for file, content in ((receipt.data, data), (receipt.quarantine, quarantine)):
            if file is not None and content is not None:
                self.folder.write(file.path, content)
        return self._settle(receipt.model_copy(update={"seconds": seconds(), "lease": self.lease}))

    def receipts(self) -> dict[str, Receipt]:
        """All receipts by shard key, from one listing. Raises RunError for one that is broken."""
        paths = self.folder.list(f"{self._home}/receipts/")
        contents = self.folder.read_many(paths)
        found = (
            parse_record(self.folder, path, content, Receipt) for path, content in zip(paths, contents, strict=True)
        )
        return {receipt.key: receipt for receipt in found}

    def write_manifest(self, manifest: Manifest) -> None:
        """Commits the run: removes files that no record lists, then puts summary and manifest down.

        Raises RunError where another holder of the output has committed it meanwhile, with other content.
        """
        self.sweep(manifest)
        self.fence()
        path, content = f"{self._home}/manifest.json", sealed(manifest)
        first = not self.folder.exists(path)
        self.folder.write(f"{self._home}/summary.json", sealed(Summary.of(manifest)))
        if not first:
            self.fence()
            self.folder.write(path, content)
        elif not self.folder.create(path, content) and self.folder.read(path) != content:
            raise RunError(f"{self.folder.name}: another process has committed run {self.run_id} meanwhile")

    def summary(self) -> Summary | None:
        """Summary of the run; None while it is not finished, or where the version of hardset wrote none."""
        return read_record(self.folder, f"{self._home}/summary.json", Summary)

    def is_finished(self) -> bool:
        """Whether there is a manifest, unread."""
        return self.folder.exists(f"{self._home}/manifest.json")

    def manifest(self) -> Manifest | None:
        """The manifest; None while the run is not finished."""
        return read_record(self.folder, f"{self._home}/manifest.json", Manifest)

    def sweep(self, manifest: Manifest | None = None) -> list[str]:
        """Removes data and quarantine files of this run that no receipt and no manifest lists; returns them.

        They stem from attempts that were cut off, or lost to another with other bytes. For the holder of the lease.
        """
        run8 = self.run_id[:8]
        found = {path for start in files_of(self.run_id) for path in self.folder.list(start)}
        orphans = found - _paths(*self.receipts().values()) - _paths(*(manifest.outputs if manifest else ()))
        if orphans:
            twins = [run for run in run_ids(self.folder) if run[:8] == run8 and run != self.run_id]
            for run in twins:
                orphans -= _paths(*Ledger(self.folder, run).receipts().values())
            orphans -= _paths(*(output for other in manifests(self.folder) for output in other.outputs))
        removable = sorted(path for path in orphans if removable_from(self.folder, path))
        for path in removable:
            self.fence()
            self.folder.delete(path)
        return removable

    def _settle(self, receipt: Receipt) -> Receipt:
        path = receipt_path(receipt)
        if self.folder.create(path, sealed(receipt)):
            return receipt
        winner = read_record(self.folder, path, Receipt)
        if winner is None or not all(map(self.folder.exists, _paths(winner))):
            self.folder.write(path, sealed(receipt))  # its files were removed since, so it says nothing any more
            return receipt
        for orphan in _paths(receipt) - _paths(winner):
            self.folder.delete(orphan)
        return winner


def receipt_path(receipt: Receipt) -> str:
    """Path of a receipt in its folder."""
    return f"{RUNS}/{receipt.run_id}/receipts/{receipt.index:06d}-{receipt.key[:_KEY_DIGITS]}.json"


def data_file(run_id: str, shard: Shard, content: bytes | None) -> DataFile | None:
    """Record of a shard's data file before it is published; None where there is none."""
    split = re.sub(r"[^\w.]+", "_", shard.split) or "train"
    stem = f"{DATA}{run_id[:8]}/{split}-{shard.index:05d}"
    return None if content is None else _described(stem, ".parquet", content, row_count(content))


def quarantine_file(run_id: str, shard: Shard, content: bytes | None) -> DataFile | None:
    """Record of a shard's quarantine file before it is published; None where there is none."""
    stem = f"{QUARANTINE}{run_id[:8]}-{shard.index:05d}"
    return None if content is None else _described(stem, SUFFIX, content, quarantined(content))


def _described(stem: str, suffix: str, content: bytes, rows: int) -> DataFile:
    digest = sha256_hex(content)
    return DataFile(path=f"{stem}-{digest[:12]}{suffix}", bytes=len(content), sha256=digest, rows=rows)


def removable_from(folder: Folder, path: str) -> bool:
    """Whether a file may be removed at all: its name is one that hardset gives, and no link leads to it."""
    return is_own(path) and folder.inside(path)


def run_ids(folder: Folder) -> list[str]:
    """Ids of all runs that ever started in the dataset folder, sorted."""
    return folder.folders(RUNS)


def manifests(folder: Folder) -> list[Manifest]:
    """The manifests of all finished runs of a dataset folder, newest last."""
    return [*newest_first(folder)][::-1]


def latest_manifest(folder: Folder) -> Manifest | None:
    """The newest manifest; None where there is none."""
    return next(newest_first(folder), None)


def newest_first(folder: Folder, of: Iterable[Summary] | None = None) -> Iterator[Manifest]:
    """Manifests, each read when it is asked for. `of`: those of these summaries; None: all there are."""
    # A summary is written before its manifest, so it is at least as new as that.
    waiting = oldest_first(summaries(folder) if of is None else of)
    while waiting:
        summary = waiting.pop()
        manifest = Ledger(folder, summary.run_id).manifest()
        if manifest is None:
            continue
        found = Summary.of(manifest)
        if found.written < summary.written:
            waiting = oldest_first([*waiting, found])
        else:
            yield manifest


def oldest_first(runs: Iterable[Summary]) -> list[Summary]:
    """Runs by age, the newest last.

    A run that stands for a date is newer than those of earlier dates, however late it was made. Otherwise, newer is
    what was written under a later lease, then what finished later; a run without a date stands for the newest one
    before it.
    """
    ages, day = [], ""
    for summary in sorted(runs, key=lambda one: one.written):
        ages.append((summary.logical_date or day, summary.written, summary))
        day = max(day, ages[-1][0])
    return [summary for *_, summary in sorted(ages, key=lambda age: age[:2])]


def summaries(folder: Folder) -> list[Summary]:
    """Summaries of the finished runs, in the order of their ids; made from the manifest where there is none.

    One that was cut off at its end may be among them: only a manifest is a commit.
    """

    def read(run: str) -> Summary | None:
        ledger = Ledger(folder, run)
        if (summary := ledger.summary()) is not None:
            return summary
        manifest = ledger.manifest()
        return None if manifest is None else Summary.of(manifest)

    return [summary for summary in in_parallel(read, run_ids(folder)) if summary is not None]


def shards_of_others(folder: Folder, plan: Plan) -> int:
    """Number of shards of a plan that other runs have made and that it has not, from the names of receipts."""
    made: dict[bool, set[str]] = {True: set(), False: set()}
    for path in folder.list(f"{RUNS}/"):
        if (name := _RECEIPT.search(path)) is not None:
            made[path.startswith(f"{RUNS}/{plan.run_id}/")].add(name[1])
    return len({shard.key[:_KEY_DIGITS] for shard in plan.shards} & made[False] - made[True])


def receipt_paths(folder: Folder, keys: Collection[str], *, of_run: str | None = None) -> list[str]:
    """Paths of the receipts of the shards with these keys, of one run or of whichever, from one listing."""
    wanted = {key[:_KEY_DIGITS] for key in keys}
    paths = folder.list(f"{RUNS}/" if of_run is None else f"{RUNS}/{of_run}/receipts/")
    return [path for path in paths if (name := _RECEIPT.search(path)) and name[1] in wanted]


def find_receipts(folder: Folder, keys: Collection[str], *, of_run: str | None = None) -> Iterator[Receipt]:
    """Receipts of the shards with these keys, of one run or of whichever, finished or not; from one listing.

    Receipts that are broken are passed over.
    """
    paths = receipt_paths(folder, keys, of_run=of_run)
    for path, content in zip(paths, folder.read_many(paths), strict=True):
        with suppress(RunError):
            receipt = parse_record(folder, path, content, Receipt)
            if receipt.key in keys:
                yield receipt


def _paths(*committed: Receipt | Output) -> set[str]:
    return {file.path for part in committed for file in (part.data, part.quarantine) if file is not None}
