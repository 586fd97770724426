"""Named attacks: which objective and schedule each name stands for. Steps and starts are the job file's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.attacks import objectives
from pipeline.attacks.apgd import AutoPgd
from pipeline.attacks.geometries import L2, Geometry, Linf
from pipeline.attacks.objectives import Objective
from pipeline.attacks.schedules import Fixed, Schedule


@dataclass(frozen=True)
class Composition:
    """What a named attack is made of."""

    objective: Objective
    """Maximised by untargeted attacks."""
    targeted_objective: Objective
    """Maximised where a class is to be reached."""
    schedule: Schedule
    reference: str


ATTACKS: Mapping[str, Composition] = MappingProxyType(
    {
        "fgsm": Composition(
            objectives.cross_entropy,
            objectives.targeted_cross_entropy,
            Fixed(),
            "Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples. ICLR 2015",
        ),
        "pgd": Composition(
            objectives.cross_entropy,
            objectives.targeted_cross_entropy,
            Fixed(),
            "Madry et al.: Towards deep learning models resistant to adversarial attacks. ICLR 2018",
        ),
        "apgd_ce": Composition(
            objectives.cross_entropy,
            objectives.targeted_cross_entropy,
            AutoPgd(),
            "Croce, Hein: Reliable evaluation of adversarial robustness. ICML 2020",
        ),
        "apgd_dlr": Composition(
            objectives.dlr,
            objectives.targeted_dlr,
            AutoPgd(),
            "Croce, Hein: Reliable evaluation of adversarial robustness. ICML 2020",
        ),
    }
)

GEOMETRIES: Mapping[str, Geometry] = MappingProxyType({"linf": Linf(), "l2": L2()})
