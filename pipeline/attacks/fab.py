"""Fast adaptive boundary: the nearest image beyond the decision boundary, by projections onto its linearisation.

Croce and Hein: Minimally distorted adversarial examples with a fast adaptive boundary attack. ICML 2020, arXiv
1907.02044.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.hyperplanes import onto_hyperplane
from hardset.pipeline.attacks.nearest import NearestSchedule
from hardset.pipeline.attacks.schedules import Memory, Pass


@dataclass(frozen=True)
class Fab(NearestSchedule):
    """Steps onto the hyperplane where the linearised loss is 0, from the iterate and from the clean image, mixed.

    Needs an objective that is above 0 exactly where the goal is reached: a margin of logits. An iterate that reaches
    it is drawn towards the clean image before the next step.
    """

    overshoot: float = 1.05
    """Length of a step as a multiple of the way to the hyperplane."""
    most_biased: float = 0.1
    """Largest weight of the step from the clean image."""
    drawn_in: float = 0.9
    """Share of its change that an iterate beyond the boundary keeps."""

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step back towards the clean image after a success, and onto the boundary otherwise."""
        change = seen.images - seen.clean
        back = seen.clean + self.drawn_in * change
        from_here = onto_hyperplane(seen.images, seen.gradient, -seen.loss, geometry.name)
        from_clean = onto_hyperplane(
            seen.clean, seen.gradient, (seen.gradient * change).flatten(1).sum(dim=1) - seen.loss, geometry.name
        )
        here, clean = (geometry.norm(step).clamp(min=1e-8) for step in (from_here, from_clean))
        weight = per_row((here / (here + clean)).clamp(max=self.most_biased), change)
        ahead = (seen.images + self.overshoot * from_here) * (1 - weight)
        ahead = ahead + (seen.clean + self.overshoot * from_clean) * weight
        return torch.where(per_row(seen.met, back), back, ahead).clamp_(0, 1), memory
