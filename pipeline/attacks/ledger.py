"""Host-side books of a search: which work items wait, and which item gave each row its best result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.attacks.slots import REACHED

_NOTHING = -2


@dataclass(frozen=True)
class Item:
    """One search over one row."""

    row: int
    order: int
    """Position among the row's items: restarts, or targets within restarts. Also keys the start noise."""


@dataclass(frozen=True)
class Effort:
    """What a search cost."""

    batches: int
    """Forward and backward passes over all slots."""
    gradients: int
    """Row gradients that belong to a row's result."""
    wasted: int
    """Row gradients spent on searches that a lower item of the same row made idle."""
    verdicts: int
    """Forward passes, without gradient, over all slots."""


class Ledger:
    """The best result of every row, whatever order its items finish in.

    Where a search stops at success, the first item (by order, not by time) that succeeds is the result: so it does
    not depend on which items happened to share the batch.
    """

    def __init__(self, rows: NDArray[np.int64], total: int, orders: int, *, stop_at_success: bool) -> None:
        """`rows`: those to search, of `total`; `orders`: items per row."""
        self._stop = stop_at_success
        self._waiting = iter([Item(int(row), order) for order in range(orders) for row in rows])
        self._next: Item | None = None
        self.rank = np.full(total, _NOTHING, np.int8)
        self.loss = np.full(total, -np.inf, np.float64)
        self.order = np.full(total, orders, np.int64)
        self._gradients = np.zeros((total, orders), np.int64)
        self.wasted = 0

    def peek(self) -> Item | None:
        """The next item worth starting, left in the queue."""
        while self._next is None or self.superseded(self._next):
            self._next = next(self._waiting, None)
            if self._next is None:
                return None
        return self._next

    def pop(self, most: int) -> Iterator[Item]:
        """Up to `most` items worth starting, taken off the queue."""
        for _ in range(most):
            item = self.peek()
            if item is None:
                return
            self._next = None
            yield item

    def superseded(self, item: Item) -> bool:
        """Whether the row has fallen to an item of lower order, so that this one's result no longer matters."""
        return self._stop and self.rank[item.row] == REACHED and item.order > self.order[item.row]

    def drop(self, gradients: int) -> None:
        """Books the gradients of a superseded item."""
        self.wasted += gradients

    def offer(self, item: Item, rank: int, loss: float, gradients: int) -> bool:
        """Books a finished item; whether it is the row's best so far."""
        self._gradients[item.row, item.order] = gradients
        if self._key(rank, loss, item.order) <= self._key(*self._held(item.row)):
            return False
        self.rank[item.row], self.loss[item.row], self.order[item.row] = rank, loss, item.order
        return True

    def gradients(self) -> NDArray[np.int32]:
        """Gradients spent on each row; those of superseded items are `wasted` and not the row's."""
        spent = self._gradients.cumsum(axis=1)
        if not self._stop:
            return spent[:, -1].astype(np.int32)
        last = np.where(self.rank == REACHED, self.order, spent.shape[1] - 1)
        return np.take_along_axis(spent, last[:, None], axis=1)[:, 0].astype(np.int32)

    def _held(self, row: int) -> tuple[int, float, int]:
        return int(self.rank[row]), float(self.loss[row]), int(self.order[row])

    def _key(self, rank: int, loss: float, order: int) -> tuple[int, float, int]:
        first_wins = self._stop and rank == REACHED
        return rank, (-float(order) if first_wins else loss), -order
