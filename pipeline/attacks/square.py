"""Square attack: random search with squares, which asks the model for scores alone.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial attack via random
search. ECCV 2020, arXiv 1912.00049.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pipeline import rng
from pipeline.attacks.geometries import Geometry
from pipeline.attacks.grid import per_row
from pipeline.attacks.schedules import Memory, Pass, Schedule, Start

_WHOLE = 10_000  # queries of the paper's search, in which the times below are counted
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # last query before the square's area halves
_BITS = 32  # of a random word


@dataclass(frozen=True)
class Square(Schedule):
    """Proposes a change inside one square and keeps it if the loss rises. For Linf.

    The first pass sees the given start, the second vertical stripes; every value that a proposal changes lies at the
    end of its range. A search never falls back behind its start.
    """

    needs_gradient: ClassVar[bool] = False
    area: float = 0.8
    """Share of the image that the first squares cover."""

    def begin(self, start: Start) -> Memory:
        """Best point and its loss; signs of the stripes, float32 (S, C, 1, W)."""
        _, channels, _, width = start.images.shape
        count = channels * width
        words = rng.words(start.seeds, rng.Draw.SQUARE, -(-count // _BITS), start.order)
        return {
            "best": start.images.clone(),
            "best_loss": torch.full_like(start.radius, -torch.inf),
            "stripes": _signs(words, count).view(-1, channels, 1, width),
        }

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """The next proposal, and the best point with this pass's taken in."""
        better = seen.loss > memory["best_loss"]
        best = torch.where(per_row(better, seen.images), seen.images, memory["best"])
        best_loss = torch.where(better, seen.loss, memory["best_loss"])
        images = self._proposed(seen, best, memory["stripes"], steps)
        return images, {"best": best, "best_loss": best_loss, "stripes": memory["stripes"]}

    def _proposed(self, seen: Pass, best: Tensor, stripes: Tensor, steps: int) -> Tensor:
        """The best point with a square set to the ends of its values' ranges, one sign for each channel."""
        _, channels, height, width = best.shape
        words = rng.words(seen.seeds, rng.Draw.SQUARE, 2 - (-channels // _BITS), seen.order, seen.step + 1)
        side = self._side(seen.step, steps, height, width)
        first = per_row(seen.step == 0, best)
        window = _span(words[:, 0], side, height)[:, None, :, None] & _span(words[:, 1], side, width)[:, None, None]
        window = (window | first) & (seen.mask > 0)
        signs = torch.where(first, stripes, _signs(words[:, 2:], channels)[:, :, None, None])
        changed = _at_end(seen, signs)
        # A square that changes nothing would waste its query: its opposite never does, unless the range is empty.
        idle = ((changed == best) | ~window).flatten(1).all(dim=1)
        changed = _at_end(seen, torch.where(per_row(idle, signs), -signs, signs))
        return torch.where(window, changed, best)

    def _side(self, step: Tensor, steps: int, height: int, width: int) -> Tensor:
        """Sides of the squares proposed after `step` passes and the start's, int64 (S,)."""
        query = (step.long() - 1) * _WHOLE // steps
        halvings = torch.stack([query > last for last in _HALVINGS]).sum(dim=0)
        area = self.area * height * width * torch.exp2(-halvings.float())
        return area.sqrt().round().long().clamp(1, min(height, width))


def _span(word: Tensor, side: Tensor, length: int) -> Tensor:
    """Which of `length` places lie in a stretch of `side` that begins at a place drawn by `word`: bool (S, length)."""
    first = (word * (length - side + 1)) >> _BITS
    offset = torch.arange(length, device=word.device) - first[:, None]
    return (offset >= 0) & (offset < side[:, None])


def _at_end(seen: Pass, signs: Tensor) -> Tensor:
    """Clean images moved by the whole radius, cut to the box."""
    return torch.addcmul(seen.clean, signs, per_row(seen.radius, signs)).clamp_(0, 1)


def _signs(words: Tensor, count: int) -> Tensor:
    """-1 or 1 for each of the first `count` bits of words (S, K): float32 (S, count)."""
    places = torch.arange(_BITS, device=words.device)
    bits = (words[..., None] >> places & 1).flatten(1)[:, :count]
    return bits.float().mul_(2).sub_(1)
