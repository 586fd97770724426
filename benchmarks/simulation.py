"""A cluster simulated in virtual time that drives the real dispatcher of a run: no Ray, no rows, no waiting.

An actor takes a free slot of a node, needs `start_seconds` to start, and makes its orders one after the other. Nodes
come and go at given times; the actors of a node that goes are lost. The caller supplies functions for the duration and
the outcome of an order.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from hardset.pipeline.cluster.backend import Event
from hardset.pipeline.cluster.messages import Died, Order, Passed, Ready, Result
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Receipt, Shard

SILENCE_SECONDS = 5 * 24 * 3600.0
"""Longest time without an event, in virtual seconds; beyond it the dispatcher is stuck."""

_RECEIPT = Receipt(
    run_id="simulated",
    index=0,
    key="",
    data=None,
    content_sha256="",
    quarantine=None,
    counts=Counts(),
    attempt=1,
    started="",
    finished="",
    host="",
    device="simulated",
)


def shards(number: int, rows: int = 100) -> list[Shard]:
    """Shards of generated samples, which need no source."""
    return [
        Shard(index=i, key=f"{i:064x}", recipe=0, range=None, split="train", start=i * rows, stop=(i + 1) * rows)
        for i in range(number)
    ]


def made(order: Order) -> Result:
    """Outcome of a successful order."""
    if order.probe:
        return Passed()
    excluded = tuple(bad.row for bad in order.bad)
    changes = {"index": order.shard.index, "key": order.shard.key, "attempt": order.attempt, "excluded": excluded}
    return _RECEIPT.model_copy(update=changes)


@dataclass(frozen=True)
class Nodes:
    """Number of actor slots that are added (or removed, if negative) at a given time in seconds."""

    at: float
    slots: int


@dataclass
class _Actor:
    started: bool = False
    """Whether the actor has a slot."""
    orders: deque[tuple[int, Order]] = field(default_factory=deque)
    since: float = 0.0
    """Virtual time at which the first of `orders` began, in seconds."""


@dataclass
class SimulatedCluster:
    """A backend whose clock is advanced only by its events."""

    nodes: Sequence[Nodes]
    seconds: Callable[[Order], float | None]
    """Duration of an order in seconds; None: it never ends."""
    outcome: Callable[[Order], Result] = made
    """Outcome of an order; `Died` ends its actor too."""
    start_seconds: float = 0.0
    start_outcome: Callable[[int], Result] = lambda _: Ready()
    """Outcome of an actor's start, by actor number."""
    lost_seconds: float = 0.0
    """Seconds spent on orders whose actor was lost meanwhile."""
    peak_in_hand: int = 0
    """Largest number of orders that one actor had in hand."""
    _clock: float = 0.0
    _last_event: float = 0.0
    _free: int = 0
    _actors: dict[int, _Actor] = field(default_factory=dict)
    _pending: deque[int] = field(default_factory=deque)
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _heard: list[Event] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        for change in self.nodes:
            self._at(change.at, lambda slots=change.slots: self._resize(slots))  # type: ignore[misc]

    def start(self) -> int:
        """Requests an actor, which waits for a slot; returns its number."""
        number = next(self._numbers)
        self._actors[number] = _Actor()
        self._pending.append(number)
        self._place()
        return number

    def send(self, actor: int, order: Order) -> int:
        """Sends an order to an actor; returns its ticket."""
        ticket = next(self._numbers)
        if actor not in self._actors:  # its node went away while it had nothing in hand, and nobody was told
            self._heard.append(Event(actor, ticket, Died("its node has died", node_lost=True)))
            return ticket
        orders = self._actors[actor].orders
        orders.append((ticket, order))
        self.peak_in_hand = max(self.peak_in_hand, len(orders))
        if len(orders) == 1:
            self._begin(actor)
        return ticket

    def wait(self, seconds: float) -> list[Event]:
        """Advances the clock to the next reported event, by at most `seconds`; returns the events."""
        until = self._clock + seconds
        while not self._heard and self._agenda and self._agenda[0][0] <= until:
            self._clock = self._agenda[0][0]
            while self._agenda and self._agenda[0][0] <= self._clock:
                heapq.heappop(self._agenda)[2]()
        if self._heard:
            self._last_event = self._clock
        else:
            self._clock = until
            if until - self._last_event > SILENCE_SECONDS:
                raise TimeoutError("nothing happens any more, and the dispatcher still waits")
        heard, self._heard = self._heard, []
        return heard

    def kill(self, actor: int) -> None:
        """Kills an actor and frees its slot at once."""
        gone = self._actors.pop(actor, None)
        if gone is None:
            return
        if gone.started:
            self._free += 1
            self._place()
        else:
            self._pending.remove(actor)

    def now(self) -> float:
        """Virtual time in seconds."""
        return self._clock

    def broken(self) -> str | None:
        """None: it cannot break."""
        return None

    def shortage(self) -> str:
        """Description of the cluster's free resources."""
        return f"the cluster has {self._free} free slots"

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._numbers), action))

    def _resize(self, slots: int) -> None:
        self._free += slots
        for number in [n for n, actor in self._actors.items() if actor.started]:
            if self._free >= 0:
                break
            self._end(number, Died("its node went away", node_lost=True))
        self._place()

    def _place(self) -> None:
        while self._free > 0 and self._pending:
            number = self._pending.popleft()
            self._free -= 1
            self._actors[number].started = True
            self._at(self._clock + self.start_seconds, lambda number=number: self._up(number))  # type: ignore[misc]

    def _up(self, number: int) -> None:
        if number in self._actors:
            self._heard.append(Event(number, None, self.start_outcome(number)))

    def _begin(self, number: int) -> None:
        self._actors[number].since = self._clock
        ticket, order = self._actors[number].orders[0]
        seconds = self.seconds(order)
        if seconds is not None:
            self._at(self._clock + seconds, lambda: self._finish(number, ticket, order))

    def _finish(self, number: int, ticket: int, order: Order) -> None:
        actor = self._actors.get(number)
        if actor is None or not actor.orders or actor.orders[0][0] != ticket:
            return
        result = self.outcome(order)
        if isinstance(result, Died):
            self._end(number, result)
            return
        actor.orders.popleft()
        self._heard.append(Event(number, ticket, result))
        if actor.orders:
            self._begin(number)

    def _end(self, number: int, death: Died) -> None:
        """Reports the death of an actor; all its orders are lost."""
        actor = self._actors.pop(number)
        self._free += 1
        if actor.orders:
            self.lost_seconds += self._clock - actor.since
        tickets = [ticket for ticket, _ in actor.orders] or [None]
        self._heard += [Event(number, ticket, death) for ticket in tickets]
        self._place()
