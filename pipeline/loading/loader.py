"""Batches made ahead by worker processes, by a loader whose state is a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from hardset.pipeline.loading.datasets import Batch, Batches, Place, State, check_state


class Loader:
    """Batches of `Batches`, one epoch for each iteration, made by worker processes; its state is exact at any step.

    `len()` is the number of batches in an epoch. An iteration that was broken off is gone on with by the next one.
    """

    def __init__(
        self, place: Place, *, workers: int = 0, prefetch: int = 2, pin_memory: bool = False, **settings: Any
    ) -> None:
        """`settings`: those of `Batches`. `workers`: processes, which live as long as the loader; `prefetch`: batches
        that each makes ahead."""
        self.batches = Batches(place, **settings)
        self._order = _Steps()
        self._epoch, self._step = 0, 0
        self._loader: DataLoader[Batch] = DataLoader(
            _ByStep(self.batches),
            sampler=self._order,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=prefetch if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
        )

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next batch belongs to, from 0."""
        return self._epoch

    def __len__(self) -> int:
        return self.batches.steps

    def __iter__(self) -> Iterator[Batch]:
        steps = self.batches.steps
        if self._step >= steps:
            self.set_epoch(self._epoch + 1)
        start = self._epoch * steps
        self._order.steps = range(start + self._step, start + steps)
        for batch in self._loader:
            self._step += 1
            yield batch
        self.set_epoch(self._epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of an epoch, counted from 0."""
        self._epoch, self._step = epoch, 0

    def state_dict(self) -> State:
        """Epoch and number of its next batch: what was handed out counts, not what workers made ahead."""
        return {"identity": self.batches.identity, "epoch": self._epoch, "step": self._step}

    def load_state_dict(self, state: State) -> None:
        """Goes on from a state, with any number of workers and ranks. Raises JobError where it is of other batches."""
        check_state(state, self.batches.identity)
        self._epoch, self._step = int(state["epoch"]), int(state["step"])


class _ByStep(Dataset[Batch]):
    """Batches by their numbers, which DataLoader hands to its workers in turn."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> Batch:
        return self._batches[step]


class _Steps(Sampler[int]):
    def __init__(self) -> None:
        self.steps = range(0)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)
