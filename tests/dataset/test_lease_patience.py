"""How long a lease is waited for, by a clock that only sleeping moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from hardset.pipeline.dataset.records import holders, turns
from hardset.pipeline.dataset.records import lease as module
from hardset.pipeline.dataset.records.holders import newest_number, read_sign
from hardset.pipeline.dataset.records.lease import Lease, acquire, hold_lease
from hardset.pipeline.dataset.records.turns import Turn, current_holder
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import HeldError
from tests.dataset.test_lease import put

START = 1_000_000.0


class Clock:
    """Stands in for the module `time`: sleeping takes no time, and `events` happen on the way."""

    def __init__(self) -> None:
        self.now, self.events = START, []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.passed < 1000, "nobody waits that long here"
        due = [event for event in self.events if event[0] <= self.passed]
        self.events = [event for event in self.events if event[0] > self.passed]
        for _, action in due:
            action()

    @property
    def passed(self) -> float:
        return self.now - START

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        self.events.append((seconds, action))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for room in (module, holders, turns):
        monkeypatch.setattr(room, "time", clock)
    # A field's default was taken from the real module when the class was made.
    monkeypatch.setattr(Lease, "__init__", _with_clock(Lease.__init__, clock))
    return clock


def _with_clock(init, clock: Clock):
    def started(self, *arguments, **named):
        init(self, *arguments, **named)
        self._renewed = clock.monotonic()

    return started


def taken(folder: Folder, **turn: object) -> Lease:
    return Turn(**turn).take(folder, lambda free: acquire(folder, "run-2", free=free))  # type: ignore[arg-type]


def test_leases_are_numbered_from_one(disk: Folder, clock: Clock):
    assert newest_number(disk) == 0
    for number in (1, 2):
        lease = taken(disk)
        assert lease.number == newest_number(disk) == number
        lease.release()
    assert clock.passed == 0


def test_a_silent_holder_is_replaced_after_thirty_seconds(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    assert taken(disk).number == 5
    assert 30 <= clock.passed <= 31


@pytest.mark.parametrize("ahead", [-7200, -25, 7200])
def test_clocks_of_others_change_nothing(disk: Folder, clock: Clock, ahead: float):
    put(disk, 4, renewed=START + ahead)
    taken(disk)
    assert 30 <= clock.passed <= 31


def test_a_holder_whose_clock_stepped_back_has_renewed_all_the_same(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    clock.at(10, lambda: put(disk, 4, renewed=START - 7200))
    with pytest.raises(HeldError):
        taken(disk)
    assert 10 <= clock.passed <= 11


def test_a_holder_that_renews_is_believed_at_once(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    clock.at(10, lambda: put(disk, 4, renewed=clock.now))
    with pytest.raises(HeldError, match="run far holds this output"):
        taken(disk)
    assert 10 <= clock.passed <= 11


def test_who_waited_takes_over_thirty_seconds_after_the_last_renewal(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    for beat in (10, 20, 30):
        clock.at(beat, lambda: put(disk, 4, renewed=clock.now))
    assert taken(disk, wait=True).number == 5
    assert 60 <= clock.passed <= 62


def test_a_turn_watches_once(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    turn = Turn()
    turns.refuse_held(disk, turn=turn)
    clock.sleep(100)
    turn.take(disk, lambda free: acquire(disk, "run-2", free=free))
    assert 130 <= clock.passed <= 131


def test_of_two_that_watch_one_takes_it(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    watched = turns.Watch(disk)
    assert watched.look() == "unknown"
    clock.sleep(30)
    assert watched.look() == "free"
    put(disk, 5, renewed=clock.now)
    with pytest.raises(HeldError):
        acquire(disk, "run-2", free=watched.sign)


def test_who_waits_looks_every_second_and_goes_on_while_the_holder_lives(disk: Folder, clock: Clock):
    for beat in range(20):
        clock.at(10 * beat, lambda: put(disk, 4, renewed=clock.now))
    put(disk, 4, renewed=START)
    clock.at(200, lambda: put(disk, 4, released=True))
    assert taken(disk, wait=True).number == 5
    assert 200 <= clock.passed <= 201


def test_who_waits_can_be_stopped(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    stop = threading.Event()
    clock.at(7, stop.set)
    with pytest.raises(HeldError):
        taken(disk, wait=True, stop=stop)
    assert 7 <= clock.passed <= 8


def test_a_lease_is_held_for_thirty_seconds_without_renewal(disk: Folder, clock: Clock):
    lease = acquire(disk, "run-1")
    clock.sleep(29.9)
    assert lease.held() and (who := current_holder(disk)) is not None and who.heard == pytest.approx(29.9)
    clock.sleep(0.1)
    assert not lease.held()
    lease.renew()
    clock.sleep(29.9)
    assert lease.held()


def test_the_heart_beats_three_times_a_term(disk: Folder, clock: Clock):
    lease = acquire(disk, "run-1")
    beats: list[float] = []

    def wait(seconds: float) -> bool:
        clock.sleep(seconds)
        beats.append(seconds)
        return len(beats) > 4

    lease._stop = SimpleNamespace(wait=wait)  # type: ignore[assignment]
    lease.beat()
    assert beats == [10.0] * 5
    holder = read_sign(disk).holder
    assert holder is not None and holder.beat == START + 40


def test_a_shorter_term_shortens_every_wait(disk: Folder, clock: Clock):
    put(disk, 4, renewed=START)
    with hold_lease(disk, "run-2", seconds=3.0) as lease:
        assert lease.number == 5
    assert 3 <= clock.passed <= 3.5
