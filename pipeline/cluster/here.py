"""The dispatcher's actor as threads of this process: no Ray, nothing to start, and no wall around what it runs."""

from __future__ import annotations

import time
from itertools import count
from queue import Empty, SimpleQueue
from threading import Thread

import torch

from hardset.pipeline.cluster.actors import ActorSetup, ShardActor
from hardset.pipeline.cluster.backend import Event
from hardset.pipeline.cluster.messages import Order, Placed
from hardset.schemas.errors import JobError


class HereBackend:
    """One actor in this process, with a thread for each shard in hand.

    What ends a worker, such as a lack of memory, ends the run; and a shard cannot be taken from a thread that is at it.
    """

    def __init__(self, setup: ActorSetup) -> None:
        """Raises JobError where this process cannot give the actor what it asks for."""
        if setup.job.run.gpus_per_actor > 0 and not torch.cuda.is_available():
            raise JobError("run.gpus_per_actor: this machine has no GPU that torch can use; set 0, or raise run.actors")
        self._setup = setup
        self._threads = torch.get_num_threads()
        self._numbers = count()
        self._heard: SimpleQueue[Event] = SimpleQueue()
        self._orders: SimpleQueue[tuple[int, Order] | None] = SimpleQueue()
        self._in_hand = 0
        self._stuck = False

    def start(self) -> int:
        """Starts the actor's threads; see `Backend`."""
        number = next(self._numbers)
        Thread(target=self._live, args=(number,), name="actor", daemon=True).start()
        return number

    def send(self, actor: int, order: Order) -> int:
        """Hands an order to the threads; see `Backend`."""
        ticket = next(self._numbers)
        self._in_hand += 1
        self._orders.put((ticket, order))
        return ticket

    def wait(self, seconds: float) -> list[Event]:
        """Events since the last call; see `Backend`."""
        events: list[Event] = []
        try:
            events.append(self._heard.get(timeout=seconds))
            while True:
                events.append(self._heard.get_nowait())
        except Empty:
            self._in_hand -= sum(event.ticket is not None for event in events)
            return events

    def kill(self, actor: int) -> None:
        """Lets the threads end once each is through with what it has in hand."""
        self._stuck = self._in_hand > 0
        for _ in range(self._setup.job.run.shards_per_actor):
            self._orders.put(None)

    def close(self) -> None:
        """Gives this process its number of torch threads back."""
        torch.set_num_threads(self._threads)

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def broken(self) -> str | None:
        """Why nothing can be made any more: a shard was given up, and its thread is still at it."""
        if not self._stuck:
            return None
        return (
            "a shard takes too long, and with run.actors: 0 it cannot be taken from this process; raise "
            "run.shard_minutes, or run.actors to 1"
        )

    def shortage(self) -> str:
        """What an actor asks for and what there is; see `Backend`."""
        return "the actor is this process"

    def _live(self, actor: int) -> None:
        """The first thread of the actor: it builds the tools, and starts the others."""
        built = ShardActor(self._setup)
        self._heard.put(Event(actor, None, Placed()))
        self._heard.put(Event(actor, None, built.prepare()))
        for _ in range(self._setup.job.run.shards_per_actor - 1):
            Thread(target=self._work, args=(actor, built), name="actor", daemon=True).start()
        self._work(actor, built)

    def _work(self, actor: int, built: ShardActor) -> None:
        while (taken := self._orders.get()) is not None:
            ticket, order = taken
            self._heard.put(Event(actor, ticket, built.make(order)))
