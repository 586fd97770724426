"""Named attacks: which objective and schedule each name stands for, and which of them an ensemble runs in turn.

Defaults, norms and references of the names are in `schemas.job.attacks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.fmn import Fmn
from hardset.pipeline.attacks.geometries import L2, Geometry, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.objectives import Objective
from hardset.pipeline.attacks.schedules import Cosine, Fixed, Schedule
from hardset.pipeline.attacks.square import Square


@dataclass(frozen=True)
class Loss:
    """An objective, and the form it takes where a class is to be reached."""

    free: Objective
    targeted: Objective
    fewest: tuple[int, int] = (2, 2)
    """Classes below which the two forms are the plain margin."""


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cross_entropy": Loss(objectives.cross_entropy, objectives.targeted_cross_entropy),
        "margin": Loss(objectives.margin, objectives.targeted_margin),
        "dlr": Loss(objectives.dlr, objectives.targeted_dlr, fewest=(3, 4)),
        "probability_margin": Loss(objectives.probability_margin, objectives.targeted_probability_margin),
        "probability_margin_in_turns": Loss(
            objectives.probability_margin_in_turns, objectives.targeted_probability_margin
        ),
    }
)


@dataclass(frozen=True)
class Composition:
    """What a named attack is made of."""

    loss: str
    """Of `LOSSES`, where the job names no other."""
    schedule: Schedule
    towards: bool = False
    """Whether each search is guided towards a likely wrong class, though any error will do."""
    turns: int = 1
    """Searches that belong together: a restart repeats all of them."""
    loss_going_on: str | None = None
    """Instead of `loss` where one search goes on from the end of another."""

    def going_on(self) -> Composition:
        """The same attack as one search that goes on from the end of another."""
        return replace(self, loss=self.loss_going_on or self.loss, turns=1)


ATTACKS: Mapping[str, Composition] = MappingProxyType(
    {
        "fgsm": Composition("cross_entropy", Fixed()),
        "bim": Composition("cross_entropy", Fixed()),
        "pgd": Composition("cross_entropy", Fixed()),
        "mi_fgsm": Composition("cross_entropy", Momentum()),
        "ni_fgsm": Composition("cross_entropy", Momentum(nesterov=True)),
        "di_fgsm": Composition("cross_entropy", Momentum()),
        "ti_fgsm": Composition("cross_entropy", Momentum()),
        "apgd_ce": Composition("cross_entropy", AutoPgd()),
        "apgd_dlr": Composition("dlr", AutoPgd()),
        "apgd_t": Composition("dlr", AutoPgd(), towards=True),
        "pma": Composition("probability_margin_in_turns", Cosine(), turns=2, loss_going_on="probability_margin"),
        "square": Composition("margin", Square()),
        "fmn": Composition("margin", Fmn()),
    }
)


@dataclass(frozen=True)
class Part:
    """One attack of an ensemble, run on the rows that resisted those before it."""

    name: str
    steps: int
    targets: int = 0
    """Most likely wrong classes tried, of an attack that goes towards them."""
    on: bool = False
    """Whether it goes on from where the parts before it ended, in steps of half the budget at most."""


# AutoAttack spends 101 + 9 * 101 + 9 * 100 gradients and 5,000 queries on a row that survives it. Where gradients are
# masked, a search by scores finds the basin and a few gradients from there find its bottom: of 65 MNIST rows that
# resisted 30 steps of apgd_dlr, 1,000 queries broke 50, and 30 gradients from where they ended 10 more; gradients
# alone, 80 of them from any start, broke 15.
ENSEMBLES: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "standard": (
            Part("apgd_ce", 50),
            Part("apgd_t", 30, targets=9),
            Part("square", 5000),
            Part("pma", 50, on=True),
        ),
        "fast": (
            Part("pma", 10),
            Part("square", 1000),
            Part("pma", 30, on=True),
            Part("apgd_t", 9, targets=5),
        ),
    }
)

GEOMETRIES: Mapping[str, Geometry] = MappingProxyType({"linf": Linf(), "l2": L2(), "l1": L1()})
