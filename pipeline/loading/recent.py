"""What was read last, as much of it as fits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by number, the latest used ones of at most so many bytes together. A copy in another process is empty."""

    def __init__(self, read: Callable[[int], tuple[Value, int]], most_bytes: int) -> None:
        """`read`: the value of a number, and its bytes. At least one value is kept."""
        self._read, self._most = read, most_bytes
        self._held: OrderedDict[int, tuple[Value, int]] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, number: int) -> Value:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number][0]
        value, size = self._read(number)
        self._held[number], self._bytes = (value, size), self._bytes + size
        while self._bytes > self._most and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1][1]
        return value

    def clear(self) -> None:
        """Forgets all values."""
        self._held.clear()
        self._bytes = 0

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_held": OrderedDict(), "_bytes": 0}
