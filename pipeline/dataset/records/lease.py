"""One run at a time per output: a lease in the dataset folder, renewed while its holder lives.

Leases are numbered files, `_hardset/lease/<number>.json`. A lease is taken by creating the next number conditionally,
so of several that find an old one abandoned one wins; the highest number counts. The number fences: whoever holds a
lower one may not put a record over another or remove a file, and of two manifests that of the higher number is newer.
Shards are safe without it: their receipts have one winner.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hardset.pipeline.dataset.records.holders import (
    LEASE_SECONDS,
    Holder,
    Sign,
    lease_numbers,
    lease_path,
    newest_number,
    parse_holder,
    read_sign,
    this_process,
)
from hardset.pipeline.dataset.records.turns import Turn, Watch
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import GoneError, HeldError, UserError


@dataclass
class Lease:
    """A lease that is held. `held()` turns False once another run has taken it, the output is gone, or it could not be
    renewed in time."""

    folder: Folder
    number: int
    """Fencing token: of all leases that this folder ever had, higher is later."""
    holder: Holder
    seconds: float = LEASE_SECONDS
    _stop: threading.Event = field(default_factory=threading.Event)
    _loss: UserError | None = None
    """Why it is held no more, for ever."""
    _renewed: float = field(default_factory=time.monotonic)

    def held(self) -> bool:
        """Whether the output is still this run's alone."""
        return self._loss is None and time.monotonic() - self._renewed < self.seconds

    def renew(self) -> None:
        """Renews the lease, or notices that another run holds it, or that the output is gone."""
        started = time.monotonic()
        newest = newest_number(self.folder)
        if newest > self.number:
            self._loss = self._taken()
            return
        try:
            winner = parse_holder(self.folder.read(lease_path(self.number)))
        except FileNotFoundError:
            self._loss = GoneError(
                f"{self.folder.name}: the output is gone: its records were removed while this run was at work; "
                "start the same command again to make it anew"
            )
            return
        # What cannot be read is of no other holder, whose number would be higher: it is put right.
        if winner is not None and winner.token != self.holder.token:
            self._loss = self._taken()
            return
        self.folder.write(lease_path(self.number), self.holder.renewal().content())
        self._renewed = started

    def check(self) -> None:
        """Asks the store whether the output is still this run's alone, and renews the lease.

        A lease that ran out while the store could not be reached, and that nobody took, is held again. Raises
        HeldError where another run took it, GoneError where the output was removed, RunError where the store does not
        answer.
        """
        if self._loss is None:
            self.renew()
        if self._loss is not None:
            raise self._loss

    def blame(self, error: UserError) -> None:
        """Raises what became of the output, as `check` does, where that may be why work on it failed with `error`."""
        try:
            self.check()
        except UserError as loss:
            if loss is self._loss:
                raise loss from error

    def release(self) -> None:
        """Gives the lease back, so that the next run starts at once."""
        self._stop.set()
        if self._loss is None and _is_ours(self):
            self.folder.write(lease_path(self.number), self.holder.model_copy(update={"released": True}).content())
        self._loss = self._loss or self._taken()

    def beat(self) -> None:
        """Renews every third of the lease until it is released or lost. Runs in a daemon thread."""
        while self._loss is None and not self._stop.wait(self.seconds / 3):
            with suppress(UserError):  # the store may answer again before the lease runs out
                self.renew()

    def _taken(self) -> HeldError:
        return HeldError(f"{self.folder.name}: another run has taken this output over; this one has stopped")


@contextmanager
def hold_lease(
    folder: Folder, run_id: str, *, above: int = 0, turn: Turn | None = None, seconds: float = LEASE_SECONDS
) -> Iterator[Lease]:
    """Holds the lease of a dataset folder, once it is free; see `Turn` for how long that is waited for.

    `above`: the highest number that any record tells of, for a folder that has lost its leases. Raises HeldError, which
    says who holds it since when, where another run does. One whose holder is a dead process of this machine is taken
    over at once, any other after it has been watched for `seconds` without renewal.
    """

    def attempt(free: Sign) -> Lease:
        return acquire(folder, run_id, above=above, seconds=seconds, free=free)

    lease = (turn or Turn()).take(folder, attempt, seconds)
    thread = threading.Thread(target=lease.beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease._stop.set()
        thread.join(timeout=seconds)
        with suppress(UserError):  # it runs out by itself
            lease.release()


def acquire(
    folder: Folder, run_id: str, *, above: int = 0, seconds: float = LEASE_SECONDS, free: Sign | None = None
) -> Lease:
    """Takes the lease without waiting and without renewing it; see `hold_lease`.

    `free`: a lease that was watched and found abandoned. Raises HeldError where any other is not known to be free.
    """
    while True:
        watch = Watch(folder, seconds)
        if watch.look() != "free" and watch.sign != free:
            raise watch.refusal()
        lease = Lease(folder, max(watch.sign.number, above) + 1, this_process(run_id), seconds)
        if not folder.create(lease_path(lease.number), lease.holder.content()) and not _is_ours(lease):
            continue
        if newest_number(folder) == lease.number:
            _forget_before(folder, lease.number)
            return lease
        folder.delete(lease_path(lease.number))


def _is_ours(lease: Lease) -> bool:
    """Whether the number is this holder's own: a create that was refused may have arrived all the same, where a client
    sent it twice; and a number is given twice where somebody removed the leases."""
    sign = read_sign(lease.folder)
    return sign.number == lease.number and sign.holder is not None and sign.holder.token == lease.holder.token


def _forget_before(folder: Folder, number: int) -> None:
    for older in lease_numbers(folder):
        if older < number:
            with suppress(UserError):
                folder.delete(lease_path(older))
