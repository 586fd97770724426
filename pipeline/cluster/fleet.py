"""Fleet of actors: how many there should be, which are there, and when waiting has no point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hardset.pipeline.cluster.backend import Backend
from hardset.pipeline.cluster.loads import Loads
from hardset.pipeline.cluster.messages import Died, Raised
from hardset.pipeline.cluster.pending import MAX_BAD_ROWS
from hardset.schemas.errors import RunError
from hardset.schemas.job.job import Run

TELL_SECONDS = 60.0
"""Seconds without any actor after which whoever watches is told why."""


@dataclass(frozen=True)
class Change:
    """Change of the number of actors."""

    ask: int = 0
    """Number of actors to ask for."""
    take_back: int = 0
    """Number of requests for actors to withdraw."""
    give_back: int = 0
    """Number of idle actors to end."""


def change(*, most: int, outstanding: int, starting: int, live: int, idle: int) -> Change:
    """As many actors as there are shards outstanding, waiting or in hand, up to `most`.

    All are asked for at once, so that an autoscaler sees what is wanted. Surplus goes back to the cluster at once.
    """
    surplus = starting + live - min(most, outstanding)
    if surplus <= 0:
        return Change(ask=-surplus)
    take_back = min(surplus, starting)
    return Change(take_back=take_back, give_back=min(surplus - take_back, idle))


@dataclass
class Fleet:
    """The actors of one run."""

    run: Run
    backend: Backend
    tell: Callable[[str], None]
    loads: Loads
    _starting: dict[int, bool] = field(default_factory=dict)
    """Actors asked for, and whether each has its room already."""
    _failed_starts: int = 0
    """Number of failures to start in a row."""
    _deaths: int = 0
    """Number of deaths in a row without anything made in between."""
    _needed: int = 0
    """Actors without which the run does not go on; less once they were there."""
    _short_since: float = 0.0
    _told: bool = False

    def __post_init__(self) -> None:
        self._needed, self._short_since = self.run.least_actors, self.backend.now()

    @property
    def starting(self) -> int:
        """Actors asked for, and not there yet."""
        return len(self._starting)

    def resize(self, outstanding: int) -> None:
        """Asks for actors, or gives them back, as the shards outstanding call for."""
        idle = self.loads.idle() if len(self.loads) + len(self._starting) > outstanding else []
        todo = change(
            most=self.run.most_actors,
            outstanding=outstanding,
            starting=len(self._starting),
            live=len(self.loads),
            idle=len(idle),
        )
        for _ in range(todo.ask):
            self._starting[self.backend.start()] = False
        for actor in list(self._starting)[: todo.take_back]:
            del self._starting[actor]
            self.backend.kill(actor)
        for actor in idle[: todo.give_back]:
            self.remove(actor)

    def placed(self, actor: int) -> None:
        """The actor has its room, and builds what it needs."""
        if actor in self._starting:
            self._starting[actor] = True

    def admit(self, actor: int) -> None:
        """The actor is ready; one that was taken back in the meantime is not."""
        if actor in self._starting:
            del self._starting[actor]
            self.loads.add(actor)
            self._failed_starts = 0

    def failed_to_start(self, actor: int, why: Raised | Died) -> None:
        """The actor is not coming; `resize` asks for another. Raises the UserError it met, or RunError for too many."""
        if actor not in self._starting:
            return
        del self._starting[actor]
        self.backend.kill(actor)
        if isinstance(why, Raised) and why.error is not None:
            raise why.error
        if isinstance(why, Died) and why.node_lost:
            return
        self._failed_starts += 1
        if self._failed_starts >= self.run.max_attempts and not len(self.loads):
            name = f"{why.error_class}: " if isinstance(why, Raised) else ""
            raise RunError(f"{self._failed_starts} workers failed while they started; the last: {name}{why.message}")

    def remove(self, actor: int) -> None:
        """Ends a live actor."""
        self.loads.remove(actor)
        self.backend.kill(actor)

    def disband(self) -> None:
        """Ends all actors."""
        for actor in [*self._starting, *self.loads]:
            self.backend.kill(actor)

    def count_death(self, message: str) -> None:
        """A live actor died of something else than a probe. Raises RunError once too many have in a row."""
        self._deaths += 1
        # A single shard may kill its workers at its first tries, and once more for each of its bad rows.
        limit = 2 * self.run.max_attempts * self.run.most_actors + MAX_BAD_ROWS
        if self._deaths > limit:
            raise RunError(f"{limit} workers died one after the other without making a shard; the last: {message}")

    def count_success(self) -> None:
        """Notes that something was made."""
        self._deaths = 0

    def check(self) -> None:
        """Raises RunError where nothing can be made any more, or too few actors have been there for too long."""
        broken = self.backend.broken()
        if broken is not None:
            raise RunError(broken)
        now, live = self.backend.now(), len(self.loads)
        if live >= self._needed:
            self._needed, self._short_since, self._told = 1, now, False
            return
        waited = now - self._short_since
        if waited > 60 * self.run.start_minutes:
            few = f"{live} of {self._needed} workers" if live else "no worker"
            remedy = "look for what takes so long, or raise run.start_minutes"
            if not any(self._starting.values()):
                remedy = "add nodes, or change run.actors, run.cpus_per_actor, run.gpus_per_actor or run.start_minutes"
            raise RunError(f"{few} in {self.run.start_minutes:g} minutes: {self._why_none()}; {remedy}")
        if waited > TELL_SECONDS and not live and not self._told:
            self._told = True
            self.tell(f"waiting for workers: {self._why_none()}")

    def _why_none(self) -> str:
        """What workers wait for: room on the cluster, or themselves."""
        there = sum(self._starting.values())
        if not there:
            return self.backend.shortage()
        who = f"{there} of {len(self._starting)} workers" if len(self._starting) > 1 else "the worker"
        return f"{who} started and {'load' if there > 1 else 'loads'} model, weights and source"
