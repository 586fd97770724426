"""Loads: live actors by number of shards in hand, so that the least loaded is found without a look at the others."""

from __future__ import annotations

from collections.abc import Iterator


class Loads:
    """Number of shards that each live actor has in hand, 0 to `depth`."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.reserved: int | None = None
        """Actor that takes nothing more, so that it runs empty for a suspect."""
        self._load: dict[int, int] = {}
        self._by_load: list[dict[int, None]] = [{} for _ in range(depth + 1)]

    def __len__(self) -> int:
        return len(self._load)

    def __iter__(self) -> Iterator[int]:
        return iter(self._load)

    def add(self, actor: int) -> None:
        """An actor with nothing in hand."""
        self._load[actor] = 0
        self._by_load[0][actor] = None

    def remove(self, actor: int) -> None:
        """The actor is gone."""
        del self._by_load[self._load.pop(actor)][actor]
        if self.reserved == actor:
            self.reserved = None

    def change(self, actor: int, by: int) -> None:
        """The actor took or put down shards."""
        load = self._load[actor]
        del self._by_load[load][actor]
        self._load[actor] = load + by
        self._by_load[load + by][actor] = None

    def idle(self) -> list[int]:
        """Actors with nothing in hand."""
        return list(self._by_load[0])

    def for_suspect(self) -> int | None:
        """An actor with nothing in hand; where there is none, the least loaded is reserved."""
        if self._by_load[0]:
            return next(iter(self._by_load[0]))
        if self.reserved is None:
            self.reserved = next((actor for actors in self._by_load for actor in actors), None)
        return None

    def for_ordinary(self, waiting: int) -> int | None:
        """The actor that gets the next of the ordinary shards that wait, if any should.

        Every actor gets one before any gets two, and a second only while enough wait for all: at the end of a run no
        shard lies behind a long one while an actor idles.
        """
        for load in range(self.depth if waiting > len(self._load) else 1):
            for actor in self._by_load[load]:
                if actor != self.reserved:
                    return actor
        return None
