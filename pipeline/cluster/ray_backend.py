"""The dispatcher's actors as Ray Core actors.

Results come by callback, not by `ray.wait` over all that is in hand, whose cost grows with the number of actors. A
replacement is a new actor and not a restart, so it may start on any node.
"""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayTaskError

from hardset.pipeline.cluster.actors import ActorSetup, ShardActor
from hardset.pipeline.cluster.backend import Event
from hardset.pipeline.cluster.memory import kills, told_by_kernel, told_by_ray
from hardset.pipeline.cluster.messages import Died, Order, Placed, Raised, Result
from hardset.schemas.errors import one_line
from hardset.schemas.job.job import Run

_CLOSING_SECONDS = 6.0
"""What answers of killed actors may take: a frozen one's comes after 5 s."""
_PLACED = -1
"""Ticket of the question whether an actor is there."""
_PROCESSES = {"raylet": 0.0, "gcs_server": 45.0}
"""Processes of Ray, and seconds that a run goes on without them."""
_NODE_LOST = "its node has died"
"""Ray 2.60 tells a lost node from a lost process in the message only, unless the autoscaler drained it."""


class RayBackend:
    """Actors on the Ray cluster that this process is connected to."""

    def __init__(self, setup: ActorSetup, actor: type = ShardActor) -> None:
        """`actor`: what is built from `setup`, with the methods of `ShardActor`."""
        run = setup.job.run
        self._run = run
        # Kept alive here: an actor whose constructor's arguments have left the object store cannot be started.
        self._setup = ray.put(setup)
        self._kind: Any = ray.remote(
            num_cpus=run.cpus_per_actor,
            num_gpus=run.gpus_per_actor,
            max_restarts=0,
            max_concurrency=run.shards_per_actor,
            runtime_env=_environment(run),
        )(actor)
        self._numbers = count()
        self._actors: dict[int, Any] = {}
        self._heard: SimpleQueue[tuple[int, int | None, Future[Any]]] = SimpleQueue()
        self._died: dict[str, float] = {}
        """When processes of Ray were first seen dead."""
        self._kills = kills()
        self._open = 0
        """Number of answers that have not come."""

    def start(self) -> int:
        """Asks Ray for an actor; see `Backend`."""
        number, actor = next(self._numbers), self._kind.remote(self._setup)
        self._actors[number] = actor
        self._listen(number, _PLACED, actor.__ray_ready__.remote())
        self._listen(number, None, actor.prepare.remote())
        return number

    def send(self, actor: int, order: Order) -> int:
        """Calls an actor; see `Backend`."""
        ticket = next(self._numbers)
        self._listen(actor, ticket, self._actors[actor].make.remote(order))
        return ticket

    def wait(self, seconds: float) -> list[Event]:
        """Events that Ray's callbacks have brought; see `Backend`."""
        events: list[Event] = []
        try:
            self._add(events, *self._heard.get(timeout=seconds))
            while True:
                self._add(events, *self._heard.get_nowait())
        except Empty:
            return events

    def kill(self, actor: int) -> None:
        """Kills an actor. One that does not answer is ended by its raylet seconds later (measured: 5 s, stopped)."""
        ray.kill(self._actors.pop(actor), no_restart=True)

    def close(self) -> None:
        """Waits until all answers have come, once every actor is killed.

        One that comes while Ray shuts down makes Ray's thread end this process with exit code 1 (Ray 2.60).
        """
        end = time.monotonic() + _CLOSING_SECONDS
        with suppress(Empty):
            while self._open and (left := end - time.monotonic()) > 0:
                self._heard.get(timeout=left)
                self._open -= 1

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def broken(self) -> str | None:
        """Death of a Ray that runs on this machine for this run: Ray ends this process some time later, without a word.

        13 s after the death of its raylet, and 60 s after that of its control store (Ray 2.60).
        """
        node = ray._private.worker._global_node
        for name, patience in _PROCESSES.items() if node is not None and node.is_head() else ():
            codes = [code for one in node.all_processes.get(name, ()) if (code := one.process.poll()) is not None]
            if codes and time.monotonic() - self._died.setdefault(name, time.monotonic()) >= patience:
                how = f"signal {-codes[0]}" if codes[0] < 0 else f"exit code {codes[0]}"
                return (
                    f"a process of the Ray that this run started has died ({name}, {how}); look for what killed it, "
                    "such as a lack of memory, and start the same command again to go on"
                )
        return None

    def shortage(self) -> str:
        """What an actor asks for and what the cluster has."""
        there = ray.cluster_resources()
        nodes = sum(node["Alive"] for node in ray.nodes())
        return f"{_asked(self._run)}; the cluster has {_amounts(there)} on {nodes} node{'s' * (nodes != 1)}"

    def _listen(self, actor: int, ticket: int | None, answer: Any) -> None:
        self._open += 1
        answer.future().add_done_callback(lambda future: self._heard.put((actor, ticket, future)))

    def _add(self, events: list[Event], actor: int, ticket: int | None, future: Future[Any]) -> None:
        self._open -= 1
        error = future.exception()
        if ticket == _PLACED:  # why it could not be is what its first call tells
            if error is None:
                events.append(Event(actor, None, Placed()))
            return
        if isinstance(error, ActorUnavailableError) and actor in self._actors:
            # The connection broke, and Ray does not know why yet. A second call ends with the reason.
            self._listen(actor, ticket, self._actors[actor].__ray_ready__.remote())
            return
        events.append(Event(actor, ticket, _answered(future.result()) if error is None else self._result_of(error)))

    def _result_of(self, error: BaseException) -> Result:
        """End of an actor that an exception of Ray's stands for."""
        if (told := told_by_ray(str(error), self._run)) is not None:
            return Died(told)
        result = result_of(error)
        if isinstance(result, Died) and not result.node_lost and (now := kills()) > self._kills:
            self._kills = now
            return Died(told_by_kernel(socket.gethostname(), self._run))
        return result


def _environment(run: Run) -> dict[str, Any]:
    """Environment of an actor's process: OpenMP reads its settings when torch is loaded, too early for the actor.

    Threads of OpenMP that wait for each other spin by default. Where anything else wants their cores, such as the
    encoding of the last shard, they spin away the time that the one they wait for needs (docs/throughput.md).
    """
    if run.cpus_per_actor == 1:
        return {}  # a process with an environment of its own starts half a second later
    return {"env_vars": {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}}


def _asked(run: Run) -> str:
    return f"each asks for {_amounts({'CPU': run.cpus_per_actor, 'GPU': run.gpus_per_actor})}"


def _amounts(resources: dict[str, float]) -> str:
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    return f"{cpus:g} CPU{'s' * (cpus != 1)} and {gpus:g} GPU{'s' * (gpus != 1)}"


def _answered(answer: Any) -> Result:
    if answer is True:  # of the second call: the actor lives, and what it said meanwhile is lost
        return Died("contact with it was lost", node_lost=True)
    result: Result = answer
    return result


def result_of(error: BaseException) -> Result:
    """End of an actor that an exception of Ray's stands for, as Ray tells it."""
    if isinstance(error, RayTaskError):  # an answer that could not be sent, as the actor itself raises nothing
        return Raised(type(error.cause or error).__name__, one_line(error.cause or error))
    text = str(error)
    lost = isinstance(error, NodeDiedError | ActorUnavailableError) or _NODE_LOST in text
    return Died(_reason(text), node_lost=lost or (isinstance(error, RayActorError) and error.preempted))


def _reason(text: str) -> str:
    """The telling part of Ray's page of possible causes."""
    detail = text.partition("Worker exit detail: ")[2] or text.strip().splitlines()[-1]
    first = " ".join(detail.split()).partition(". Some common causes")[0]
    return f"the worker that made it died: {first[:140].rstrip('.')}"
