"""Steps along an average of the gradients so far, which carries attacks past poor local maxima and to other models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import largest, per_row
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start, seen_at, stepped


@dataclass(frozen=True)
class Momentum(Schedule):
    """Fixed steps along a velocity (MI-FGSM: Dong et al., CVPR 2018; with `nesterov` NI-FGSM: Lin et al., ICLR 2020).

    The velocity is the sum of the gradients so far, each scaled to mean absolute value 1 and faded by `decay` with
    every step. The papers' formula divides by the L1 norm, their programs by this mean; the iterates are the same.
    """

    decay: float = 1.0
    nesterov: bool = False
    """Whether the gradient is asked for where the velocity alone would lead, rather than at the iterate.

    That place may lie outside the box, where some models are not defined: a power below 1 of a negative value is NaN,
    and so are all logits then. Rows that have met a gradient with NaN or infinity look ahead inside the box thereafter.
    """

    def begin(self, start: Start) -> Memory:
        """No velocity, float32 (S, C, H, W), the look-ahead's length per unit of it and whether it is boxed, (S,)."""
        memory = {"velocity": torch.zeros_like(start.images)}
        if not self.nesterov:
            return memory
        reach = torch.zeros_like(start.radius)
        return memory | {"reach": reach, "boxed": torch.zeros_like(reach, dtype=torch.bool)}

    def probe(self, images: Tensor, step_size: Tensor, memory: Memory) -> Tensor:
        """The iterate moved by decay * step size * velocity, as in the paper neither projected nor cut to the box.

        Cut to it for rows that met NaN or infinity.
        """
        if not self.nesterov:
            return images
        ahead = self.decay * step_size * memory["reach"]
        place = torch.addcmul(images, memory["velocity"], per_row(ahead, images))
        return torch.where(per_row(memory["boxed"], place), place.clamp(0, 1), place)

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step along the velocity's steepest direction, back into ball and box."""
        velocity = self.decay * memory["velocity"] + _scaled(seen.gradient)
        images = stepped(seen_at(seen, seen.images, velocity), seen.step_size, geometry)
        after = {"velocity": velocity}
        if self.nesterov:
            # One step of every value is 1 in Linf; in other norms it would overshoot the ball by far.
            after["reach"] = 1 / geometry.norm(torch.ones_like(velocity))
            met = seen.nonfinite > 0
            after["boxed"] = memory["boxed"] | met if len(met) else memory["boxed"]
        return images, after


def _scaled(gradient: Tensor) -> Tensor:
    """Rows of mean absolute value 1; rows of zeros stay so."""
    mean = gradient.abs().flatten(1).mean(dim=1)
    # The sum behind the mean of values near 1e38 is infinite, and would leave 0 of them.
    mean = torch.where(mean.isfinite(), mean, largest(gradient))
    return gradient / per_row(torch.where(mean > 0, mean, 1), gradient)
