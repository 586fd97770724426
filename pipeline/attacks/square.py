"""Square attack: random search with squares, which asks the model for scores alone.

Andriushchenko, Croce, Flammarion, Hein: Square attack: a query-efficient black-box adversarial attack via random
search. ECCV 2020, arXiv 1912.00049.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hardset.pipeline.attacks import square_l2, windows
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start
from hardset.pipeline.compute import rng

_WHOLE = 10_000  # queries of the paper's search, in which the times below are counted
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # last query before the square's area halves


@dataclass(frozen=True)
class Square(Schedule):
    """Proposes a change inside one square and keeps it if the loss rises. For Linf and L2.

    The first pass sees the given start, the second a pattern all over the image. A search never falls back behind its
    start. In Linf that pattern is vertical stripes, and every value that a proposal changes lies at the end of its
    range.
    """

    needs_gradient: ClassVar[bool] = False
    area: float = 0.8
    """Share of the image that the first squares cover."""

    def begin(self, start: Start) -> Memory:
        """Best point and its loss; signs of the pattern, float32: stripes (S, C, 1, W), or tiles in L2."""
        channels, height, width = start.images.shape[1:]
        shapes = {"stripes": (channels, 1, width), "tiles": (channels, *square_l2.tile_counts(height, width))}
        count = max(map(math.prod, shapes.values()))
        words = rng.words(start.seeds, rng.Draw.SQUARE, windows.words_for(count), start.order)
        signs = {name: windows.signs(words, math.prod(shape)).view(-1, *shape) for name, shape in shapes.items()}
        return {"best": start.images.clone(), "best_loss": torch.full_like(start.radius, -torch.inf)} | signs

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """The next proposal, and the best point with this pass's taken in."""
        better = seen.loss > memory["best_loss"]
        best = _either(memory["best"], seen.images, per_row(better.float(), seen.images))
        best_loss = torch.where(better, seen.loss, memory["best_loss"])
        channels, height, width = best.shape[1:]
        side = self.sides(seen.step, steps, height, width)
        euclidean = geometry.name == "l2"
        count = square_l2.words_for(channels) if euclidean else 2 + windows.words_for(channels)
        words = rng.words(seen.seeds, rng.Draw.SQUARE, count, seen.order, seen.step + 1)
        if euclidean:
            images = square_l2.proposed(seen, best, memory["tiles"], words, side)
        else:
            images = _proposed(seen, best, memory["stripes"], words, side)
        return images, memory | {"best": best, "best_loss": best_loss}

    def sides(self, step: Tensor, steps: int, height: int, width: int) -> Tensor:
        """Sides of the squares proposed after `step` passes and the start's, int64 (S,)."""
        query = (step.long() - 1) * _WHOLE // steps
        halvings = torch.stack([query > last for last in _HALVINGS]).sum(dim=0)
        area = self.area * height * width * torch.exp2(-halvings.float())
        return area.sqrt().round().long().clamp(1, min(height, width))


def _proposed(seen: Pass, best: Tensor, stripes: Tensor, words: Tensor, side: Tensor) -> Tensor:
    """The best point with a square set to the ends of its values' ranges, one sign for each channel."""
    channels, height, width = best.shape[1:]
    first = seen.step[:, None] == 0
    rows = windows.inside(windows.offsets(words[:, 0], side, height), side).masked_fill_(first, 1)
    columns = windows.inside(windows.offsets(words[:, 1], side, width), side).masked_fill_(first, 1)
    window = windows.area(rows, columns) * seen.mask
    signs = windows.signs(words[:, 2:], channels)[:, :, None, None]
    signs = torch.where(per_row(first, best), stripes, signs)
    proposal = _either(best, _at_end(seen, signs), window)
    # A square that changes nothing would waste its query; its opposite does change something, where eps allows it.
    idle = (proposal - best).abs_().flatten(1).amax(dim=1) == 0
    signs = torch.where(per_row(idle, signs), -signs, signs)
    return _either(best, _at_end(seen, signs), window)


def _at_end(seen: Pass, signs: Tensor) -> Tensor:
    """Clean images moved by the whole radius, cut to the box."""
    return torch.addcmul(seen.clean, signs, per_row(seen.radius, signs)).clamp_(0, 1)


def _either(zero: Tensor, one: Tensor, choice: Tensor) -> Tensor:
    """`zero` where the choice is 0 and `one` where it is 1, exactly.

    On a CPU a twelfth of the time of `torch.where`, which no vector instruction serves (torch 2.13).
    """
    return torch.lerp(zero, one, choice)
