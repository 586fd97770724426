"""Turn of a run at an output that another may hold: a holder is watched before it is taken for dead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from hardset.pipeline.dataset.records.holders import (
    LEASE_SECONDS,
    Holder,
    Sign,
    Told,
    heard_s_ago,
    lease_path,
    read_sign,
)
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import HeldError

WATCH_SECONDS = 1.0
"""Seconds between two looks at a lease."""
Taken = TypeVar("Taken")


class StopFlag(Protocol):
    """Request to stop, as `threading.Event` is one."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Present:
    """Holder that is there."""

    holder: Holder
    number: int
    """Number of its lease."""
    heard: float
    """Seconds since it was last heard of, by the clock of this machine."""


@dataclass
class Watch:
    """Watch over the lease of a folder, by this machine's monotonic clock alone.

    A lease counts as abandoned once nobody has changed it for `seconds`, and as held once somebody has.
    """

    folder: Folder
    seconds: float = LEASE_SECONDS
    sign: Sign = field(default_factory=lambda: Sign(0))
    """The lease as it was last seen."""
    _since: float = 0.0
    _renewed: bool = False

    def look(self) -> Told:
        """Whether somebody holds the folder, as far as all looks so far tell."""
        now, sign = time.monotonic(), read_sign(self.folder)
        if sign != self.sign:
            self._renewed = sign.number == self.sign.number and _maker(sign) == _maker(self.sign)
            self.sign, self._since = sign, now
        told = sign.told(self.seconds)
        if told != "unknown":
            return told
        if now - self._since >= self.seconds:
            return "free"
        return "held" if self._renewed else "unknown"

    @property
    def heard(self) -> float | None:
        """Seconds since the holder was last heard of; None while it was only found."""
        age = heard_s_ago(self.sign.holder) if self.sign.holder is not None else None
        return age if age is not None else time.monotonic() - self._since if self._renewed else None

    def settle(self) -> Told:
        """Looks until it is known whether somebody holds the folder."""
        while (told := self.look()) == "unknown":
            time.sleep(pause(self.seconds))
        return told

    def refusal(self) -> HeldError:
        """What a run is told that finds the folder held."""
        holder, heard = self.sign.holder, self.heard
        if holder is None:
            return HeldError(
                f"{lease_name(self.folder, self.sign)}: is no lease that this version of hardset can read, and "
                "somebody may be writing it; end what does, or remove the file if nothing does"
            )
        age = "" if heard is None else f", last heard of {heard:.0f} s ago"
        return HeldError(
            f"{self.folder.name}: run {holder.run_id} holds this output since {holder.since} (process {holder.pid} on "
            f"{holder.host}{age}); wait for it, stop it, or choose another output.path"
        )


@dataclass
class Turn:
    """Turn of a run that waits for an output that another holds.

    A holder of which nothing is known is watched for the time in which it must renew its lease. One that lives is
    waited for only where `wait` says so.
    """

    wait: bool = False
    stop: StopFlag | None = None
    """Ends the waiting."""
    tell: Callable[[str], None] = lambda _: None
    """Is given, in a sentence, who is watched and who is taken over."""
    _watch: Watch | None = None
    _told: int = -1

    def take(self, folder: Folder, attempt: Callable[[Sign], Taken], seconds: float = LEASE_SECONDS) -> Taken:
        """Result of `attempt`, given the lease that counts as free, once it raises no HeldError.

        Raises HeldError where another run keeps the output.
        """
        watch = self._watch = self._watch or Watch(folder, seconds)
        while True:
            told = watch.look()
            if told == "free":
                try:
                    return attempt(watch.sign)
                except HeldError:
                    continue  # somebody was faster; the next look says who
            if (told == "held" and not self.wait) or (self.stop is not None and self.stop.is_set()):
                raise watch.refusal()
            if told == "unknown" and watch.sign.number != self._told:
                self._told = watch.sign.number
                self.tell(_watched(watch))
            time.sleep(pause(seconds))


def current_holder(folder: Folder, *, seconds: float = LEASE_SECONDS) -> Present | None:
    """Holder of the folder's lease; None where nobody holds it.

    One on another machine is watched until it renews its lease, which takes a third of `seconds`, or does not.
    """
    watch = Watch(folder, seconds)
    if watch.settle() == "free" or watch.sign.holder is None:
        return None
    return Present(watch.sign.holder, watch.sign.number, watch.heard or 0.0)


def possible_holder(folder: Folder) -> Holder | None:
    """Holder of the folder's lease if nothing says that it is gone, from one look."""
    sign = read_sign(folder)
    return None if sign.told() == "free" else sign.holder


def refuse_held(folder: Folder, *, seconds: float = LEASE_SECONDS, turn: Turn | None = None) -> None:
    """Raises HeldError where a run holds the folder."""
    (turn or Turn()).take(folder, lambda _: None, seconds)


def pause(seconds: float) -> float:
    """Seconds between two looks at a lease that lasts `seconds`."""
    return min(WATCH_SECONDS, seconds / 10)


def lease_name(folder: Folder, sign: Sign) -> str:
    """Place of a lease, as a sentence names it."""
    return f"{folder.name}/{lease_path(sign.number)}"


def _maker(sign: Sign) -> str | None:
    return sign.holder.token if sign.holder is not None else None


def _watched(watch: Watch) -> str:
    holder, seconds = watch.sign.holder, f"{watch.seconds:g} s"
    if holder is None:
        return (
            f"{lease_name(watch.folder, watch.sign)} holds no lease that this version of hardset can read; it is taken "
            f"over unless somebody writes it within {seconds}"
        )
    return (
        f"{watch.folder.name}: process {holder.pid} on {holder.host} may be at work on run {holder.run_id}; its output "
        f"is taken over unless it renews its lease within {seconds}"
    )
