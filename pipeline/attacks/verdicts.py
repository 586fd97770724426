"""Verdicts on items that are out of steps, and in the judge's own arithmetic on falls that an inexact pass saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.objectives import reached
from hardset.pipeline.attacks.passes import Answer, Passes, Scores
from hardset.pipeline.attacks.slots import FALLEN, MOVED, REACHED, RUNNING, SPENT, SUSPECT, Slots
from hardset.pipeline.attacks.work_queue import Item


class Verdicts:
    """Items that wait until a whole batch of them can be judged."""

    def __init__(self, passes: Passes, model: Scores, batch: int) -> None:
        self._passes, self._model, self._batch = passes, model, batch
        self._held: list[tuple[list[Item], Slots]] = []
        self.spent = 0
        """Number of forward passes so far."""

    @property
    def waiting(self) -> int:
        """Number of items that wait."""
        return sum(len(items) for items, _ in self._held)

    def awaits(self, row: int) -> bool:
        """Whether an item of the row waits."""
        return any(row == item.row for items, _ in self._held for item in items)

    def add(self, items: list[Item], state: Slots) -> None:
        """Lets items wait."""
        self._held.append((items, state))

    @staticmethod
    def sorted_by_status(status: NDArray[Any], seats: Sequence[Item | None]) -> tuple[list[int], list[int]]:
        """Slots that are over, and slots that need a verdict first."""
        fallen, unsettled = np.flatnonzero(status == FALLEN), np.flatnonzero(np.isin(status, (SUSPECT, SPENT)))
        return (
            [slot for slot in fallen.tolist() if seats[slot]],
            [slot for slot in unsettled.tolist() if seats[slot]],
        )

    def given(self, *, everything: bool) -> Iterator[tuple[list[Item], Slots]]:
        """Judges full batches, or all that waits; the state of each holds the verdict."""
        held = self.waiting
        if not held or (held < self._batch and not everything):
            return
        everyone = [item for items, _ in self._held for item in items]
        joined = Slots.joined([state for _, state in self._held])
        self._held = []
        for first in range(0, held, self._batch):
            items = everyone[first : first + self._batch]
            state = joined.take(torch.arange(first, first + len(items), device=joined.labels.device))
            if len(items) < self._batch and not everything:
                self._held = [(items, state)]
                return
            full = state.padded(self._batch)
            self._judge(full)
            yield items, full

    def _judge(self, full: Slots) -> None:
        """Takes the last iterate into account; confirms what an inexact pass called reached, where a stop rests on it.

        A search that spends all its steps rests nothing on it: there the last iterate is scored as those before it.
        """
        passes, search = self._passes, self._passes.search
        point = passes.point(full.images, full)
        everyone = torch.ones_like(point.moved)
        if passes.exact or search.after_success is None:
            self.spent += 1
            answer = passes.scored(point.images, passes.goal(full))
            passes.keep(full, answer, point, everyone, trusted=True)
            return
        if not passes.suspects:
            best = passes.point(full.best, full)
            held = self._reached(self._logits(best.images), full)
            full.best_rank.masked_fill_((full.best_rank == REACHED) & ~held, MOVED)
        logits = self._logits(point.images)
        answer = Answer(logits, search.objective(logits, passes.goal(full)), logits)
        met, _ = passes.keep(full, answer, point, everyone, trusted=True)
        wrong = (full.status == SUSPECT) & ~met
        full.status.masked_fill_(wrong, RUNNING)
        torch.where(wrong, full.step, full.cleared, out=full.cleared)
        full.since.masked_fill_(wrong, -1)

    def _logits(self, point: Tensor) -> Tensor:
        self.spent += 1
        return self._model(point)

    def _reached(self, logits: Tensor, full: Slots) -> Tensor:
        return reached(logits, full.labels, full.targets, targeted=self._passes.search.targeted)

    @staticmethod
    def cleared(items: Sequence[Item], status: NDArray[Any]) -> tuple[list[int], list[int]]:
        """Positions of items that are over, and of those that go back to work. `status`: that of their state."""
        running = (status == RUNNING).tolist()[: len(items)]
        return (
            [position for position, back in enumerate(running) if not back],
            [position for position, back in enumerate(running) if back],
        )
