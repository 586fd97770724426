"""What lies in a dataset folder that no record lists, and what runs that are given up leave behind.

`hardset verify` names orphans and `hardset gc` removes them, both by `orphans`. Nothing that a kept run's manifest or
receipt, or a table published from here, still lists is ever removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.catalogues.listing import published_files
from pipeline.sinks.lease import current_holder, hold_lease
from pipeline.sinks.ledger import RUNS, Ledger, manifests, run_ids
from pipeline.storage import Folder
from schemas.errors import JobError
from schemas.records import Manifest, Output, Receipt

UNLISTED = "no record lists this file"
UNFINISHED = "was left unfinished and no process will finish it"
OLD_RUN = "only runs that are given up list it"
OLD_RECORD = "belongs to a run that is given up"
LEFTOVER_SECONDS = 3600.0
"""A file that is being written is younger than this."""
HOLDER = "gc"
"""Stands for the run in the lease while files are removed."""


@dataclass(frozen=True)
class Orphan:
    """A file that nothing needs."""

    path: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Sweep:
    """What can be removed, in an order that leaves the folder sound wherever it is cut off."""

    orphans: tuple[Orphan, ...]
    given_up: tuple[str, ...] = ()
    """Ids of the runs that are given up."""
    kept_records: tuple[str, ...] = ()
    """Of those, runs whose records stay, as newer runs list files that they made."""

    @property
    def bytes(self) -> int:
        """What removing them frees."""
        return sum(orphan.bytes for orphan in self.orphans)


@dataclass(frozen=True)
class _Records:
    """What the records of a folder list."""

    finished: Sequence[Manifest]
    """Newest last."""
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)
    """By run; of runs that may have committed more than their manifest lists."""

    @staticmethod
    def of(folder: Folder) -> _Records:
        """Raises RunError where a record cannot be believed: then nothing can be called an orphan."""
        finished = manifests(folder)
        whole = {manifest.run_id for manifest in finished if manifest.status == "complete"}
        others = [run for run in run_ids(folder) if run not in whole]
        return _Records(finished, {run: list(Ledger(folder, run).receipts().values()) for run in others})

    def listed(self, without: Iterable[str] = ()) -> set[str]:
        """Paths of all files that records list, those of the runs `without` aside."""
        left = set(without)
        parts: list[Receipt | Output] = [
            output for one in self.finished if one.run_id not in left for output in one.outputs
        ]
        parts += [receipt for run, receipts in self.receipts.items() if run not in left for receipt in receipts]
        return {file.path for part in parts for file in (part.data, part.quarantine) if file is not None}


def orphans(folder: Folder) -> list[Orphan]:
    """Data and quarantine files that no record and no table lists, and files left unfinished, in order of their paths.

    Files of the run that holds the lease are not among them. Raises RunError where records cannot be believed.
    """
    return _unlisted(folder, _Records.of(folder).listed())


def _unlisted(folder: Folder, listed: set[str]) -> list[Orphan]:
    holder = current_holder(folder)
    at_work = holder.run_id[:8] if holder is not None and holder.run_id != HOLDER else None
    present = folder.sizes("data/") | folder.sizes("quarantine/")
    found = [
        Orphan(path, size, UNLISTED)
        for path, size in present.items()
        if path not in listed and path.split("/")[1][:8] != at_work
    ]
    if found:
        tables = published_files(folder)
        found = [orphan for orphan in found if orphan.path not in tables]
    rest = folder.leftovers(LEFTOVER_SECONDS)
    return sorted([*found, *(Orphan(path, size, UNFINISHED) for path, size in rest.items())], key=lambda o: o.path)


def look(folder: Folder, *, keep_runs: int | None = None) -> Sweep:
    """What could be removed: orphans, and with `keep_runs` what only older finished runs than that many need.

    Raises JobError where `keep_runs` keeps none, RunError where records cannot be believed or tables not be read.
    """
    if keep_runs is not None and keep_runs < 1:
        raise JobError(f"--keep-runs: got {keep_runs}; wants 1 or more")
    records = _Records.of(folder)
    lost = _unlisted(folder, records.listed())
    given_up = [one.run_id for one in records.finished[:-keep_runs]] if keep_runs else []
    if not given_up:
        return Sweep(tuple(lost))
    kept = records.finished[len(given_up) :]
    needed = {output.run_id for manifest in kept for output in manifest.outputs}
    gone = [run for run in given_up if run not in needed]
    listed = records.listed(without=given_up) | published_files(folder)
    sizes = folder.sizes("data/") | folder.sizes("quarantine/")
    files = sorted((records.listed() - listed) & sizes.keys())
    return Sweep(
        orphans=(
            *_records_of(folder, gone),
            *(Orphan(path, sizes[path], OLD_RUN) for path in files),
            *lost,
        ),
        given_up=tuple(given_up),
        kept_records=tuple(run for run in given_up if run in needed),
    )


def collect(folder: Folder, *, keep_runs: int | None = None) -> Sweep:
    """Removes what `look` finds, under the lease, and returns it. Raises RunError where a run holds the lease."""
    with hold_lease(folder, HOLDER):
        found = look(folder, keep_runs=keep_runs)
        for orphan in found.orphans:
            folder.delete(orphan.path)
        for place in ("data", "quarantine", RUNS):
            folder.remove_empty(place)
    return found


def _records_of(folder: Folder, runs: Iterable[str]) -> list[Orphan]:
    """The records of runs, each manifest last: while it is there, a sweep that was cut off can be taken up again."""
    found = []
    for run in runs:
        sizes = folder.sizes(f"{RUNS}/{run}/")
        names = sorted(sizes, key=lambda path: (path.endswith("/manifest.json"), path))
        found += [Orphan(path, sizes[path], OLD_RECORD) for path in names]
    return found
