"""Auto-PGD in L1: sparse steps whose number of values adapts, from balls that shrink to the row's own.

Croce and Hein: Mind the box: l1-APGD for sparse adversarial attacks on image classifiers. ICML 2021, arXiv 2103.01208,
section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row, row_sum
from hardset.pipeline.attacks.l1 import sparsest
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start, with_best

_REACHES = 3.0, 2.0  # multiples of the radius before the row's own
_SHARES = 0.3, 0.3  # of the steps, that they take
_WINDOW = 0.04  # of a phase's steps: how often sparsity and step are looked at
_FIRST_SHARE = 0.2  # of all values: those that the first steps move
_FEWER = 1.5  # values that the best point has changed, per value of a step
_SPARSER = 0.95  # share of the changed values at the last look, under which the step starts again at full length
_SHORTER, _SHORTEST = 1.5, 0.1  # divisor of the step otherwise, and the shortest, as a share of the first


@dataclass(frozen=True)
class SparseAutoPgd(Schedule):
    """The schedule of APGD in L1, kept per row; its longest step is the row's step size, eps in the paper."""

    def reach(self, step: Tensor, steps: int) -> Tensor:
        """3, then 2, then 1 times the radius."""
        first, second = _ends(steps)
        reach = torch.where(step < second, _REACHES[1], 1.0)
        return torch.where(step < first, _REACHES[0], reach)

    def begin(self, start: Start) -> Memory:
        """Best point of the phase, its gradient and loss; length of the step and values that it moves."""
        count = start.images[0].numel()
        return {
            "best": start.images.clone(),
            "best_gradient": torch.zeros_like(start.images),
            "best_loss": torch.full_like(start.radius, -torch.inf),
            "size": start.step_size.clone(),
            "values": torch.full_like(start.radius, max(1.0, _FIRST_SHARE * count)),
            "changed": torch.full_like(start.radius, float(count)),
            "since_check": torch.zeros_like(start.radius, dtype=torch.int32),
        }

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """One step; where a sparser point was found, from there; at the end of a phase the best point, drawn in."""
        noted = with_best(seen, memory) | {"since_check": memory["since_check"] + 1}
        reach, following = self.reach(seen.step, steps), self.reach(seen.step + 1, steps)
        checked, back = _checked(noted, seen, _window(seen.step, steps))
        at = per_row(back, seen.images)
        here = torch.where(at, checked["best"], seen.images)
        gradient = torch.where(at, checked["best_gradient"], seen.gradient)
        most = seen.images[0].numel()
        wanted = checked["values"].ceil().clamp(1, most).to(torch.int64)
        step = sparsest(gradient, here, wanted, most).mul_(per_row(checked["size"] * reach, here))
        moved = geometry.project(step.add_(here), seen.clean, seen.radius * reach)
        ends = following < reach
        drawn_in = geometry.project(checked["best"], seen.clean, seen.radius * following)
        images = torch.where(per_row(ends, moved), drawn_in, moved)
        return images, _begun_again(checked, ends, images, seen)


def _checked(memory: Memory, seen: Pass, window: Tensor) -> tuple[Memory, Tensor]:
    """The memory after the look that is due, and the rows that go back to their best point."""
    due = memory["since_check"] > window  # the pass at a phase's start has no step behind it
    changed = _changed(memory["best"], seen.clean)
    sparser = due & (changed < _SPARSER * memory["changed"])
    shorter = torch.maximum(memory["size"] / _SHORTER, seen.step_size * _SHORTEST)
    size = torch.where(sparser, seen.step_size, torch.where(due, shorter, memory["size"]))
    return memory | {
        "size": size,
        "values": torch.where(due, changed / _FEWER, memory["values"]),
        "changed": torch.where(due, changed, memory["changed"]),
        "since_check": torch.where(due, 1, memory["since_check"]),
    }, sparser


def _begun_again(memory: Memory, ends: Tensor, images: Tensor, seen: Pass) -> Memory:
    """The memory of the rows whose phase ends, as at the start of the next."""
    changed = _changed(images, seen.clean)
    return memory | {
        "best_loss": torch.where(ends, -torch.inf, memory["best_loss"]),
        "size": torch.where(ends, seen.step_size, memory["size"]),
        "values": torch.where(ends, changed / _FEWER, memory["values"]),
        "changed": torch.where(ends, changed, memory["changed"]),
        "since_check": torch.where(ends, 0, memory["since_check"]),
    }


def _changed(images: Tensor, clean: Tensor) -> Tensor:
    """Number of values that differ, float32 (N,)."""
    return row_sum((images != clean).to(images.dtype))


def _ends(steps: int) -> tuple[int, int]:
    """Number of steps after which the first and the second phase end."""
    first, second = (math.ceil(share * steps) for share in _SHARES)
    return min(first, steps - 1), min(first + second, steps - 1) if steps > 1 else 0


def _window(step: Tensor, steps: int) -> Tensor:
    """Number of steps between two looks in the phase that each row is in, int32 (N,)."""
    first, second = _ends(steps)
    lengths = [max(1, int(_WINDOW * length)) for length in (first, second - first, steps - second)]
    later = torch.where(step < second, lengths[1], lengths[2])
    return torch.where(step < first, lengths[0], later)
