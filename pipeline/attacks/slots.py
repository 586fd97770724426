"""The state of the batch: one slot per row under attack, everything about that row on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from hardset.pipeline.attacks.schedules import Memory, Start

_Change = Callable[[Tensor], Tensor]

RUNNING, FALLEN, SUSPECT, SPENT = range(4)
"""Status of a slot: at work; fallen as stored; fallen by an inexact forward pass; out of steps."""

NOTHING = -2
"""Rank of a row that no search has ended on."""

CLEAN, MOVED, REACHED = range(3)
"""Rank of an iterate: stores as the clean image itself; stores as another; stores as one that reaches the goal."""


@dataclass(frozen=True)
class Slots:
    """S rows under attack. Every tensor's first axis is the slot; images are float32 (S, C, H, W) in [0, 1]."""

    clean: Tensor
    levels: Tensor
    """The clean image in 8-bit levels, float32."""
    mask: Tensor
    """Mask of the values that may change: 1, else 0; float32 (S, 1, H, W), or (S, 1, 1, 1) where all may."""
    labels: Tensor
    targets: Tensor
    seeds: Tensor
    order: Tensor
    """Position of the item among those of its row, int64."""
    radius: Tensor
    budget: Tensor
    step_size: Tensor
    images: Tensor
    """Iterates."""
    step: Tensor
    """Number of steps done, int32."""
    gradients: Tensor
    """Number of gradients spent, int32; one more than the steps where the last pass found the row fallen."""
    queries: Tensor
    """Number of forward passes without gradient spent on the search, int32."""
    flat: Tensor
    """Number of gradients that were 0 everywhere before the goal was met, int32."""
    nonfinite: Tensor
    """Number of gradient components that were NaN or infinite, over all gradients spent, int64."""
    status: Tensor
    """Status: RUNNING, FALLEN, SUSPECT or SPENT, int8."""
    since: Tensor
    """Step whose iterate was the first to reach the goal, int32; -1 before."""
    cleared: Tensor
    """Step at which a suspicion turned out wrong, int32; -1 where none did."""
    counts_from: Tensor
    """First step whose iterate may be kept, int32: 1 where the search starts at the clean image itself, else 0."""
    first_loss: Tensor
    """Loss at the start; inf before."""
    rose: Tensor
    """Whether the loss ever was above that, bool."""
    best: Tensor
    """The iterate to keep: highest rank, then highest loss."""
    best_rank: Tensor
    """Rank of that iterate, int8; -1 before the first was kept."""
    best_loss: Tensor
    memory: Memory
    """The schedule's memory."""

    def __len__(self) -> int:
        return self.labels.shape[0]

    @staticmethod
    def starting(
        start: Start,
        *,
        levels: Tensor,
        mask: Tensor,
        labels: Tensor,
        targets: Tensor,
        budget: Tensor,
        elsewhere: Tensor,
        memory: Memory,
    ) -> Slots:
        """Rows about to take their first step. `elsewhere`, bool (S,): those that do not start at the clean image."""
        zero = torch.zeros_like(labels, dtype=torch.int32)
        nothing = torch.full_like(start.step_size, -torch.inf)
        return Slots(
            clean=start.clean,
            levels=levels,
            mask=mask,
            labels=labels,
            targets=targets,
            seeds=start.seeds,
            order=start.order,
            radius=start.radius,
            budget=budget,
            step_size=start.step_size,
            images=start.images.clone(),
            step=zero.clone(),
            gradients=zero.clone(),
            queries=zero.clone(),
            flat=zero.clone(),
            nonfinite=zero.to(torch.int64),
            status=torch.full_like(zero, RUNNING, dtype=torch.int8),
            since=zero - 1,
            cleared=zero - 1,
            counts_from=(~elsewhere).to(torch.int32),
            first_loss=-nothing,
            rose=torch.zeros_like(elsewhere),
            best=start.clean.clone(),
            best_rank=torch.full_like(zero, -1, dtype=torch.int8),
            best_loss=nothing,
            memory=memory,
        )

    def take(self, index: Tensor) -> Slots:
        """A copy of some slots."""
        return self._each(lambda tensor: tensor.index_select(0, index))

    def put(self, index: Tensor, rows: Slots) -> None:
        """Overwrites some slots, in place."""
        for name in _TENSORS:
            getattr(self, name).index_copy_(0, index, getattr(rows, name))
        for key, values in self.memory.items():
            values.index_copy_(0, index, rows.memory[key])

    def padded(self, size: int) -> Slots:
        """Lengthened to `size` slots by repeating the last; the same object where that is its size."""
        if len(self) == size:
            return self
        return self.take(torch.arange(size, device=self.labels.device).clamp_(max=len(self) - 1))

    @staticmethod
    def joined(parts: Sequence[Slots]) -> Slots:
        """Several sets of slots in one."""
        memory = {key: torch.cat([part.memory[key] for part in parts]) for key in parts[0].memory}
        return Slots(**{name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}, memory=memory)

    def _each(self, change: _Change) -> Slots:
        memory = {key: change(values) for key, values in self.memory.items()}
        return replace(self, **{name: change(getattr(self, name)) for name in _TENSORS}, memory=memory)


_TENSORS = tuple(field.name for field in fields(Slots) if field.name != "memory")
