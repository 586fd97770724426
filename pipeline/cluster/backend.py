"""Backend of the dispatcher: whatever runs its actors, Ray or a simulation of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hardset.pipeline.cluster.messages import Order, Result


@dataclass(frozen=True)
class Event:
    """Answer or end of an actor."""

    actor: int
    ticket: int | None
    """Ticket of the order that the event concerns; None for the actor's start."""
    result: Result


class Backend(Protocol):
    """Starts and stops actors and carries orders to them. Actors and orders are known by numbers, never used twice."""

    def start(self) -> int:
        """Asks for an actor. An event with its `Ready` follows once there is room for it and it has built its tools."""
        ...

    def send(self, actor: int, order: Order) -> int:
        """Hands an order to a live actor and returns its ticket. One event follows, unless the actor is killed."""
        ...

    def wait(self, seconds: float) -> list[Event]:
        """Events since the last call, waiting up to `seconds` for the first."""
        ...

    def kill(self, actor: int) -> None:
        """Ends an actor, or takes back the request for it. Nothing is heard of it any more."""
        ...

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def broken(self) -> str | None:
        """Why nothing can be made any more, as a sentence; None while it can."""
        ...

    def shortage(self) -> str:
        """What an actor asks for and what the cluster has, as a clause: where no actor comes, this is why."""
        ...
