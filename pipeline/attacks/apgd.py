"""Auto-PGD: steps with momentum that halve, row by row, where the loss stops rising.

Croce and Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks.
ICML 2020, arXiv 2003.01690, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.apgd_l1 import SparseAutoPgd
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start, seen_at, stepped, with_best
from hardset.schemas.norms import Norm

_FIRST_WINDOW, _SHRINK, _LAST_WINDOW = 0.22, 0.03, 0.06  # of all steps: first window, its decrease, the shortest
_ENOUGH_RISES = 0.75  # of a window's steps


@dataclass(frozen=True)
class AutoPgd(Schedule):
    """The schedule of APGD, kept per row; starts at the row's step size, twice eps in the paper."""

    pull: float = 0.75
    """Share of the plain step; the rest is momentum."""

    def under(self, norm: Norm) -> Schedule:
        """In L1 the steps are sparse, and the first ones go beyond the ball."""
        return SparseAutoPgd() if norm == "l1" else self

    def begin(self, start: Start) -> Memory:
        """Best point, its gradient and loss; size of the step; what the windows count."""
        images, step_size, steps = start.images, start.step_size, start.steps
        nothing = torch.full_like(step_size, -torch.inf)
        none = torch.zeros_like(step_size, dtype=torch.int32)
        return {
            "previous": images.clone(),
            "best": images.clone(),
            "best_gradient": torch.zeros_like(images),
            "best_loss": nothing.clone(),
            "best_loss_at_check": nothing.clone(),
            "last_loss": torch.full_like(step_size, torch.inf),
            "size": step_size.clone(),
            "window": torch.full_like(none, _share(steps, _FIRST_WINDOW)),
            "since_check": none.clone(),
            "rises": none.clone(),
            # True at the start, so that the rule on unchanged bests cannot fire at the first check.
            "halved": torch.ones_like(none, dtype=torch.bool),
        }

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """One step; where a window ends badly, a step of half the size from the row's best point."""
        noted = _noted(seen, memory)
        checked, halve = _checked(noted, seen, steps)
        at = per_row(halve, seen.images)
        here = torch.where(at, checked["best"], seen.images)
        gradient = torch.where(at, checked["best_gradient"], seen.gradient)
        plain = stepped(seen_at(seen, here, gradient), checked["size"], geometry)
        mixed = here + self.pull * (plain - here) + (1 - self.pull) * (here - memory["previous"])
        mixed = geometry.project(mixed, seen.clean, seen.radius)
        images = torch.where(per_row(seen.step == 0, plain), plain, mixed)
        return images, checked | {"previous": here}


def _noted(seen: Pass, memory: Memory) -> Memory:
    """The memory with this pass's loss taken in."""
    started = seen.step > 0
    return with_best(seen, memory) | {
        "rises": memory["rises"] + (seen.loss > memory["last_loss"]),
        "since_check": memory["since_check"] + started,
        "best_loss_at_check": torch.where(started, memory["best_loss_at_check"], seen.loss),
        "last_loss": seen.loss,
    }


def _checked(memory: Memory, seen: Pass, steps: int) -> tuple[Memory, Tensor]:
    """The memory after the check that is due, and the rows it halves."""
    due = memory["since_check"] == memory["window"]
    stalled = memory["rises"] <= _ENOUGH_RISES * memory["window"]
    unchanged = ~memory["halved"] & (memory["best_loss_at_check"] >= memory["best_loss"])
    halve = due & (stalled | unchanged) & (seen.step > 0)
    shorter = (memory["window"] - _share(steps, _SHRINK)).clamp(min=_share(steps, _LAST_WINDOW))
    none = torch.zeros_like(memory["rises"])
    return memory | {
        "size": torch.where(halve, memory["size"] / 2, memory["size"]),
        "halved": torch.where(due, halve, memory["halved"]),
        "best_loss_at_check": torch.where(due, memory["best_loss"], memory["best_loss_at_check"]),
        "rises": torch.where(due, none, memory["rises"]),
        "since_check": torch.where(due, none, memory["since_check"]),
        "window": torch.where(due, shorter, memory["window"]),
    }, halve


def _share(steps: int, share: float) -> int:
    return max(int(share * steps), 1)
