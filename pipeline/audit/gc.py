"""Garbage in a dataset folder: files that no record lists, and what runs that are given up leave behind.

`hardset verify` names orphans and `hardset gc` removes them, both by `orphans`. Nothing that a kept run's manifest or
receipt, or a table published from here, still lists is ever removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hardset.pipeline.dataset.records import places
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, manifests, removable_from, run_ids
from hardset.pipeline.dataset.records.turns import Turn, possible_holder
from hardset.pipeline.dataset.records.unfinished import remains, unfinished_runs
from hardset.pipeline.dataset.tables.listing import published_files
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest, Output, Receipt
from hardset.schemas.records.summary import Summary

UNLISTED = "no record lists this file"
FOREIGN = "no record lists this file, and hardset did not name it so, or a link leads to it: it is never removed"
UNFINISHED = "was left unfinished and no process will finish it"
OLD_RUN = "only runs that are given up list it"
OLD_RECORD = "belongs to a run that is given up"
SUPERSEDED = "belongs to a run that never finished and that a later one superseded"
LEFTOVER_SECONDS = 3600.0
"""Seconds; a file that is being written is younger than this."""
HOLDER = "gc"
"""Run id in the lease while files are removed."""


@dataclass(frozen=True)
class Orphan:
    """A file that nothing needs."""

    path: str
    bytes: int
    why: str
    foreign: bool = False
    """Whether it is told and never removed: its name is none that hardset gives, or it is reached through a link."""


@dataclass(frozen=True)
class Sweep:
    """Files to remove, in an order that leaves the folder sound wherever it is cut off."""

    orphans: tuple[Orphan, ...]
    given_up: tuple[str, ...] = ()
    """Ids of the runs that are given up."""
    kept_records: tuple[str, ...] = ()
    """Ids of given-up runs whose records stay, as newer runs list files that they made."""
    foreign: tuple[Orphan, ...] = ()
    """Files that no record lists and that are never removed."""

    @property
    def bytes(self) -> int:
        """Number of bytes that removing them frees."""
        return sum(orphan.bytes for orphan in self.orphans)


def orphans(folder: Folder) -> list[Orphan]:
    """Data and quarantine files that no record and no table lists, and files left unfinished, in order of their paths.

    Files of the run that holds the lease, or may hold it, are not among them. Raises RunError where records cannot
    be believed: then nothing can be called an orphan.
    """
    holder = possible_holder(folder)
    return _orphans(folder, manifests(folder), holder.run_id if holder is not None else None)


def _orphans(folder: Folder, finished: Sequence[Manifest], at_work: str | None) -> list[Orphan]:
    rest = folder.leftovers(LEFTOVER_SECONDS)
    unfinished = (_orphan(path, size, UNFINISHED, own=folder.inside(path)) for path, size in rest.items())
    found = _unlisted(folder, finished, at_work=at_work).items()
    lost = (_orphan(path, size, UNLISTED, own=removable_from(folder, path)) for path, size in found)
    return sorted([*unfinished, *lost], key=lambda orphan: orphan.path)


def _orphan(path: str, size: int, why: str, *, own: bool) -> Orphan:
    return Orphan(path, size, why if own else FOREIGN, foreign=not own)


def look(folder: Folder, *, keep_runs: int | None = None) -> Sweep:
    """What could be removed while no run is at work: orphans, what superseded runs left, and with `keep_runs` what only
    older finished runs than that many need.

    Raises JobError where `keep_runs` keeps none, RunError where records cannot be believed or tables not be read.
    """
    if keep_runs is not None and keep_runs < 1:
        raise JobError(f"--keep-runs: got {keep_runs}; wants 1 or more")
    finished = manifests(folder)
    found = _orphans(folder, finished, at_work=None)
    lost, foreign = [one for one in found if not one.foreign], tuple(one for one in found if one.foreign)
    given_up, kept = (finished[:-keep_runs], finished[-keep_runs:]) if keep_runs else ([], finished)
    superseded = _superseded(folder, finished)
    runs = [one.run_id for one in given_up]
    if not runs and not superseded:
        return Sweep(tuple(lost), foreign=foreign)
    needed = {output.run_id for one in kept for output in one.outputs}
    without, known = [*runs, *superseded], {orphan.path for orphan in found}
    only_theirs = {path: size for path, size in _unlisted(folder, kept, without=without).items() if path not in known}
    old = [Orphan(path, size, OLD_RUN) for path, size in sorted(only_theirs.items()) if removable_from(folder, path)]
    records = _records_of(folder, (run for run in runs if run not in needed))
    for run in superseded:
        rest = remains(folder, run, kept).items()
        records += [Orphan(path, size, SUPERSEDED) for path, size in rest if folder.inside(path)]
    return Sweep((*records, *old, *lost), tuple(without), tuple(run for run in without if run in needed), foreign)


def _superseded(folder: Folder, finished: Sequence[Manifest]) -> list[str]:
    """Ids of the runs that never finished and never will."""
    done = {manifest.run_id for manifest in finished}
    left = (run for run in run_ids(folder) if run not in done)
    found = unfinished_runs(folder, left, [Summary.of(manifest) for manifest in finished])
    return [one.run_id for one in found if one.superseded_by is not None]


def _unlisted(
    folder: Folder, finished: Sequence[Manifest], without: Collection[str] = (), at_work: str | None = None
) -> dict[str, int]:
    """Sizes of files that neither these manifests nor a table lists, nor a receipt of any run but those `without`.

    Those of the run `at_work` may be about to be listed.
    """
    present = places.present_files(folder)
    found = present.keys() - _paths(output for manifest in finished for output in manifest.outputs)
    if at_work is not None:
        found = {path for path in found if places.maker(path) != at_work[:8]}
    makers = {places.maker(path) for path in found}  # the receipts of one run list files that it made itself
    for run in run_ids(folder):
        if run[:8] in makers and run not in without:
            found -= _paths(Ledger(folder, run).receipts().values())
    if found:
        found -= published_files(folder)
    return {path: present[path] for path in found}


def _paths(committed: Iterable[Receipt | Output]) -> set[str]:
    return {file.path for part in committed for file in (part.data, part.quarantine) if file is not None}


def collect(folder: Folder, *, keep_runs: int | None = None, turn: Turn | None = None) -> Sweep:
    """Removes what `look` finds, under the lease, and returns it. Raises HeldError where a run holds the lease."""
    with hold_lease(folder, HOLDER, turn=turn) as lease:
        found = look(folder, keep_runs=keep_runs)
        for orphan in found.orphans:
            if not lease.held():
                lease.check()
            folder.delete(orphan.path)
        for place in (*places.ALL, RUNS):
            folder.remove_empty(place.rstrip("/"))
    return found


def _records_of(folder: Folder, runs: Iterable[str]) -> list[Orphan]:
    """The records of runs, each manifest last: while it is there, a sweep that was cut off can be taken up again."""
    found = []
    for run in runs:
        sizes = folder.sizes(f"{RUNS}/{run}/")
        names = sorted(sizes, key=lambda path: (path.endswith("/manifest.json"), path))
        found += [Orphan(path, sizes[path], OLD_RECORD) for path in names if folder.inside(path)]
    return found
