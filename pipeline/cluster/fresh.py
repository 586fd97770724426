"""Fresh shards: those of one range go to one actor, which then reads its rows, and asks models about them, once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

from hardset.schemas.records.run import Shard


class FreshShards:
    """Shards that no actor has had in hand, range by range; those that read no range come last, in plan order."""

    def __init__(self, shards: Sequence[Shard] = ()) -> None:
        self._left = len(shards)
        self._ranges: Iterator[deque[Shard]] = _by_range(shards)
        self._own: dict[int, deque[Shard]] = {}
        """Shards that wait for the actor that has their range."""

    def __len__(self) -> int:
        return self._left

    def take(self, actor: int) -> Shard:
        """The shard that an actor gets next: of the range it has, of a new one, else of another actor's.

        An actor that is gone leaves its shards to the others. Raises IndexError where none is left.
        """
        waiting = self._own.get(actor) or next(self._ranges, None)
        if waiting:
            self._own[actor] = waiting
            self._left -= 1
            return waiting.popleft()
        longest = max(self._own.values(), key=len, default=deque[Shard]())
        shard = longest.pop()
        self._left -= 1
        return shard


def _by_range(shards: Sequence[Shard]) -> Iterator[deque[Shard]]:
    reading = sorted((shard for shard in shards if shard.range is not None), key=lambda shard: shard.range or 0)
    for _, alike in groupby(reading, key=lambda shard: shard.range):
        yield deque(alike)
    for shard in shards:
        if shard.range is None:
            yield deque([shard])
