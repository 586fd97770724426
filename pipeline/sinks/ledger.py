"""The commit protocol of a run: what is published, in which order, and who wins.

A shard's data object has its content's hash in its name, so publishing it twice is harmless. Its receipt is then
created conditionally: of several attempts one wins, the others get the winner's receipt. The manifest comes last.
Whoever reads files that receipts or manifests list sees whole shards only, wherever a writer was cut off.

Each record is sealed (`pipeline.sinks.seals`), so that one changed since is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.sinks.parquet import row_count
from pipeline.sinks.seals import parse_record, read_record, sealed
from pipeline.storage import Folder
from schemas.digests import sha256_hex
from schemas.errors import RunError
from schemas.records import Counts, DataFile, Manifest, Output, Plan, Receipt, Shard, StageSeconds

RUNS = "_hardset/runs"


class Ledger:
    """The records of one run, in `_hardset/runs/<run id>/` of a dataset folder."""

    def __init__(self, folder: Folder, run_id: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self._home = f"{RUNS}/{run_id}"

    def write_plan(self, plan: Plan) -> None:
        """Puts the plan down, over that of an earlier start of the same run."""
        self.folder.write(f"{self._home}/plan.json", sealed(plan))

    def plan(self) -> Plan | None:
        """The plan; None where the run never started."""
        return read_record(self.folder, f"{self._home}/plan.json", Plan)

    def commit(
        self,
        shard: Shard,
        *,
        data: bytes | None,
        rows: int,
        quarantine: bytes | None,
        content_sha256: str,
        counts: Counts,
        attempt: int,
        started: str,
        finished: str,
        host: str,
        device: str,
        excluded: tuple[int, ...] = (),
        process: int = 0,
        device_batch: int | None = None,
        seconds: Callable[[], StageSeconds | None] = lambda: None,
    ) -> Receipt:
        """Publishes a shard's files and then its receipt. Returns the receipt of the attempt that was first.

        `data`, `quarantine`: Parquet files, None where they would be empty; `rows`: rows of `data`; `seconds` is asked
        once the files are published.
        Raises RunError where storage refuses or `data` does not hold `rows` rows; the shard is then not committed.
        """
        if rows != (row_count(data) if data is not None else 0):
            raise RunError(f"shard {shard.index}: its data file does not hold the {rows} rows that were made")
        receipt = Receipt(
            run_id=self.run_id,
            index=shard.index,
            key=shard.key,
            data=_described(data, lambda digest: self._data_path(shard, digest)),
            content_sha256=content_sha256,
            quarantine=_described(quarantine, lambda digest: self._quarantine_path(shard, digest)),
            counts=counts,
            excluded=excluded,
            attempt=attempt,
            started=started,
            finished=finished,
            host=host,
            device=device,
            process=process,
            device_batch=device_batch,
        )
        for file, content in ((receipt.data, data), (receipt.quarantine, quarantine)):
            if file is not None and content is not None:
                self.folder.write(file.path, content)
        return self._settle(receipt.model_copy(update={"seconds": seconds()}))

    def receipts(self) -> dict[str, Receipt]:
        """All receipts by shard key, from one listing. Raises RunError for one that is broken."""
        paths = self.folder.list(f"{self._home}/receipts/")
        contents = self.folder.read_many(paths)
        found = (
            parse_record(self.folder, path, content, Receipt) for path, content in zip(paths, contents, strict=True)
        )
        return {receipt.key: receipt for receipt in found}

    def write_manifest(self, manifest: Manifest) -> None:
        """Commits the run: removes files that no record lists, then puts the manifest down."""
        self.sweep(manifest)
        self.folder.write(f"{self._home}/manifest.json", sealed(manifest))

    def manifest(self) -> Manifest | None:
        """The manifest; None while the run is not finished."""
        return read_record(self.folder, f"{self._home}/manifest.json", Manifest)

    def sweep(self, manifest: Manifest | None = None) -> list[str]:
        """Removes data and quarantine files of this run that no receipt and no manifest lists; returns them.

        They stem from attempts that were cut off, or lost to another with other bytes. For the holder of the lease.
        """
        run8 = self.run_id[:8]
        found = {*self.folder.list(f"data/{run8}/"), *self.folder.list(f"quarantine/{run8}-")}
        orphans = found - _paths(*self.receipts().values()) - _paths(*(manifest.outputs if manifest else ()))
        if orphans:
            twins = [run for run in run_ids(self.folder) if run[:8] == run8 and run != self.run_id]
            for run in twins:
                orphans -= _paths(*Ledger(self.folder, run).receipts().values())
            orphans -= _paths(*(output for other in manifests(self.folder) for output in other.outputs))
        for path in sorted(orphans):
            self.folder.delete(path)
        return sorted(orphans)

    def _settle(self, receipt: Receipt) -> Receipt:
        path = f"{self._home}/receipts/{receipt.index:06d}-{receipt.key[:12]}.json"
        if self.folder.create(path, sealed(receipt)):
            return receipt
        winner = read_record(self.folder, path, Receipt)
        if winner is None or not all(map(self.folder.exists, _paths(winner))):
            self.folder.write(path, sealed(receipt))  # its files were removed since, so it says nothing any more
            return receipt
        for orphan in _paths(receipt) - _paths(winner):
            self.folder.delete(orphan)
        return winner

    def _data_path(self, shard: Shard, digest: str) -> str:
        split = re.sub(r"[^\w.]+", "_", shard.split) or "train"
        return f"data/{self.run_id[:8]}/{split}-{shard.index:05d}-{digest[:12]}.parquet"

    def _quarantine_path(self, shard: Shard, digest: str) -> str:
        return f"quarantine/{self.run_id[:8]}-{shard.index:05d}-{digest[:12]}.parquet"


def run_ids(folder: Folder) -> list[str]:
    """Ids of all runs that ever started in the dataset folder, sorted."""
    return folder.folders(RUNS)


def manifests(folder: Folder) -> list[Manifest]:
    """The manifests of all finished runs of a dataset folder, newest last."""
    found = [manifest for run in run_ids(folder) if (manifest := Ledger(folder, run).manifest()) is not None]
    return sorted(found, key=lambda manifest: (manifest.finished, manifest.run_id))


def latest_manifest(folder: Folder) -> Manifest | None:
    """The manifest of the run that finished last; None where none has."""
    found = manifests(folder)
    return found[-1] if found else None


def _described(content: bytes | None, path: Callable[[str], str]) -> DataFile | None:
    if content is None:
        return None
    digest = sha256_hex(content)
    return DataFile(path=path(digest), bytes=len(content), sha256=digest, rows=row_count(content))


def _paths(*committed: Receipt | Output) -> set[str]:
    return {file.path for part in committed for file in (part.data, part.quarantine) if file is not None}
