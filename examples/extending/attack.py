"""An attack of one's own: wobble, projected gradient descent whose steps shorten and lengthen again.

In a job file:

    recipes:
      - {kind: attack, name: "attack:WOBBLE", eps: 8/255, settings: {period: 4}}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from hardset.extending import AttackDeclaration, Geometry, Memory, Pass, Schedule, Spec, StepShare, stepped


class WobbleSettings(Spec):
    """Settings of its own, which a job gives under `settings`."""

    period: Annotated[int, Field(ge=2, le=1000)] = 5
    """Steps from one step of full length to the next."""
    shortest: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Length of the shortest step, as a share of the step size."""


@dataclass(frozen=True)
class Wobble(Schedule):
    """The rule that moves an iterate: configuration alone, since the engine remembers what belongs to a row."""

    settings: WobbleSettings

    def advance(self, seen: Pass, memory: Memory, geometry: Geometry, steps: int) -> tuple[Tensor, Memory]:
        """A step along the steepest direction of the norm, back into its ball and into [0, 1]."""
        turns = seen.step / self.settings.period
        wave = 0.5 * (1 + torch.cos(2 * math.pi * turns))
        share = self.settings.shortest + (1 - self.settings.shortest) * wave
        return stepped(seen, seen.step_size * share, geometry), memory


WOBBLE = AttackDeclaration(
    summary="projected gradient descent whose steps shorten and lengthen again",
    code=1,  # raise it when the same settings begin to give other images: rows are then made anew
    settings=WobbleSettings,
    schedule=Wobble,
    loss="margin",
    steps=20,
    step_size=StepShare(Fraction(1, 4)),
    random_start=True,
)
