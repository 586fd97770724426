"""The work queue of a search, on the host: which items wait, and which item gave each row its best result."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.attacks.slots import NOTHING, REACHED


@dataclass(frozen=True)
class Item:
    """One search over one row."""

    row: int
    order: int
    """Position among the row's items: restarts, or targets within restarts. Also keys the start noise."""


@dataclass(frozen=True)
class Found:
    """The end of an item."""

    rank: int
    loss: float
    gradients: int
    queries: int
    flat: int
    """Gradients that were 0 everywhere before the goal was met."""
    nonfinite: int
    """Components of its gradients that were NaN or infinite."""
    rose: bool
    """Whether the loss was ever above that of the start."""


class WorkQueue:
    """Items that wait, and the best result of every row, whatever order its items finish in.

    Where a search stops at success, the first item (by order, not by time) that succeeds is the result: so it does
    not depend on which items happened to share the batch. A row that follows another waits until that one's result
    can no longer change.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        total: int,
        orders: int,
        *,
        stop_at_success: bool,
        follows: NDArray[np.int64] | None = None,
    ) -> None:
        """`rows` of `total` to search; `orders`: items per row; `follows` (total,): the row waited for, or -1."""
        self._stop = stop_at_success
        self._orders = orders
        self._items = np.zeros((total, orders), _ITEM)
        self.rank = np.full(total, NOTHING, np.int8)
        self.loss = np.full(total, -np.inf, np.float64)
        self.order = np.full(total, orders, np.int64)
        self.inherited: list[tuple[int, int]] = []
        """(row, the row whose result it takes over), in the order to copy them."""
        self.wasted = 0
        """Gradients of items that a lower one of the same row made idle."""
        self._followers: dict[int, list[int]] = {}
        searched = set(rows.tolist())
        roots = []
        for row in rows.tolist():
            leader = -1 if follows is None else int(follows[row])
            if leader in searched:
                self._followers.setdefault(leader, []).append(row)
            else:
                roots.append(row)
        self._queue = [(order, row) for order in range(orders) for row in roots]

    @property
    def blocked(self) -> bool:
        """Whether rows wait for the results of others."""
        return bool(self._followers)

    def peek(self) -> Item | None:
        """The next item worth starting, left in the queue."""
        while self._queue:
            order, row = self._queue[0]
            item = Item(row, order)
            if not self.superseded(item):
                return item
            heapq.heappop(self._queue)
        return None

    def pop(self, most: int) -> Iterator[Item]:
        """Up to `most` items worth starting, taken off the queue."""
        for _ in range(most):
            item = self.peek()
            if item is None:
                return
            heapq.heappop(self._queue)
            yield item

    def superseded(self, item: Item) -> bool:
        """Whether the row has fallen to an item of lower order, so that this one's result no longer matters."""
        return self._stop and self.rank[item.row] == REACHED and item.order > self.order[item.row]

    def drop(self, gradients: int) -> None:
        """Books the gradients of a superseded item."""
        self.wasted += gradients

    def offer(self, item: Item, found: Found) -> bool:
        """Books a finished item; returns whether it is the row's best so far."""
        row = item.row
        self._items[row, item.order] = (
            *(True, found.gradients, found.queries),
            *(found.flat, found.nonfinite, found.rose),
        )
        better = self._key(found.rank, found.loss, item.order) > self._key(*self._held(row))
        if better:
            self.rank[row], self.loss[row], self.order[row] = found.rank, found.loss, item.order
        return better

    def release(self, item: Item) -> None:
        """Lets the followers of the item's row go, if its result is final. Call once the result is stored."""
        row = item.row
        if row not in self._followers:
            return
        reached = self._stop and self.rank[row] == REACHED
        last = int(self.order[row]) if reached else self._orders - 1
        if self._items["done"][row, : last + 1].all():
            self._let_go(row, reached=reached)

    def _let_go(self, row: int, *, reached: bool) -> None:
        for follower in self._followers.pop(row, []):
            if reached:
                self.rank[follower], self.loss[follower], self.order[follower] = REACHED, self.loss[row], -1
                self.inherited.append((follower, row))
                self._let_go(follower, reached=True)
            else:
                for order in range(self._orders):
                    heapq.heappush(self._queue, (order, follower))

    def gradients(self) -> NDArray[np.int32]:
        """Gradients spent on each row; those of superseded items are `wasted` and not the row's."""
        return self._spent("gradients")

    def queries(self) -> NDArray[np.int32]:
        """Forward passes without gradient that the searches of each row asked for."""
        return self._spent("queries")

    def flat(self) -> NDArray[np.int32]:
        """Gradients of each row that were 0 everywhere before the goal was met."""
        return self._spent("flat")

    def nonfinite(self) -> NDArray[np.int64]:
        """Components of each row's gradients that were NaN or infinite."""
        counted: NDArray[np.int64] = np.where(self._counting(), self._items["nonfinite"], 0).sum(axis=1)
        return counted

    def rose(self) -> NDArray[np.bool_]:
        """Whether any search of the row found a loss above that of its start."""
        return self._spent("rose") > 0

    def _spent(self, name: str) -> NDArray[np.int32]:
        counted: NDArray[np.int32] = np.where(self._counting(), self._items[name], 0).sum(axis=1).astype(np.int32)
        return counted

    def _counting(self) -> NDArray[np.bool_]:
        """Items that belong to their row's result, bool (total, orders)."""
        last = np.where(self._stop & (self.rank == REACHED), self.order, self._orders - 1)
        counting: NDArray[np.bool_] = np.arange(self._orders)[None, :] <= last[:, None]
        return counting

    def _held(self, row: int) -> tuple[int, float, int]:
        return int(self.rank[row]), float(self.loss[row]), int(self.order[row])

    def _key(self, rank: int, loss: float, order: int) -> tuple[int, float, int]:
        first_wins = self._stop and rank == REACHED
        return rank, (-float(order) if first_wins else loss), -order


_ITEM = np.dtype(
    [("done", "?"), ("gradients", "<i4"), ("queries", "<i4"), ("flat", "<i4"), ("nonfinite", "<i8"), ("rose", "?")]
)
