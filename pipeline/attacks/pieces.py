"""The pieces of attacks: losses, schedules and geometries by the names that declarations use.

The declarations themselves are in `schemas.job.attacks`. A new schedule is one file beside this one, a line here, and a
row there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.ddn import Ddn
from hardset.pipeline.attacks.fab import Fab
from hardset.pipeline.attacks.fmn import Fmn
from hardset.pipeline.attacks.geometries import L2, Geometry, Linf
from hardset.pipeline.attacks.l0 import L0
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.objectives import Objective
from hardset.pipeline.attacks.schedules import Cosine, Fixed, Schedule
from hardset.pipeline.attacks.sigma_zero import SigmaZero
from hardset.pipeline.attacks.square import Square
from hardset.schemas.norms import Norm


@dataclass(frozen=True)
class Loss:
    """An objective, and the form it takes where a class is to be reached."""

    free: Objective
    targeted: Objective
    fewest: tuple[int, int] = (2, 2)
    """Number of classes below which either form is the plain margin."""
    towards: Objective | None = None
    """The form of an attack that goes towards a class where any error will do; None: `targeted`."""

    def form(self, *, targeted: bool, towards: bool) -> Objective:
        """The form for an attack with a target, or one that goes towards a class."""
        if targeted:
            return self.targeted
        return (self.towards or self.targeted) if towards else self.free


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cross_entropy": Loss(objectives.cross_entropy, objectives.targeted_cross_entropy),
        "margin": Loss(objectives.margin, objectives.targeted_margin, towards=objectives.gap_to_target),
        "dlr": Loss(objectives.dlr, objectives.targeted_dlr, fewest=(3, 4)),
        "probability_margin": Loss(objectives.probability_margin, objectives.targeted_probability_margin),
        "probability_margin_in_turns": Loss(
            objectives.probability_margin_in_turns, objectives.targeted_probability_margin
        ),
    }
)


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        "fixed": Fixed(),
        "cosine": Cosine(),
        "momentum": Momentum(),
        "auto_pgd": AutoPgd(),
        "square": Square(),
        "fast_minimum_norm": Fmn(),
        "decoupled_norm": Ddn(),
        "boundary": Fab(),
        "smooth_count": SigmaZero(),
    }
)

GEOMETRIES: Mapping[Norm, Geometry] = MappingProxyType({"linf": Linf(), "l2": L2(), "l1": L1(), "l0": L0()})
