"""The named attacks: what each is, where it comes from, what it takes, and what its unset settings stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

MOST_TARGETS = 9
"""Classes that a targeted attack tries unless told otherwise, as AutoAttack does."""

_NORMS = ("linf", "l2", "l1")


@dataclass(frozen=True)
class StepShare:
    """Length of an unset step as a share of eps."""

    factor: Fraction
    per_step: bool = False
    """Whether the factor is divided by the number of steps."""
    l1_factor: Fraction | None = None
    """Instead of `factor` under the L1 norm."""

    def __call__(self, steps: int, norm: str) -> Fraction:
        """The share that `steps` steps in `norm` give."""
        factor = self.l1_factor if norm == "l1" and self.l1_factor is not None else self.factor
        return factor / steps if self.per_step else factor

    def __str__(self) -> str:
        whole = "eps" if self.factor == 1 else f"{float(self.factor):g} * eps"
        text = f"{whole} / steps" if self.per_step else whole
        if self.l1_factor is None:
            return text
        return f"{text} (L1: {'eps' if self.l1_factor == 1 else f'{float(self.l1_factor):g} * eps'})"


@dataclass(frozen=True)
class Paper:
    """Where an attack comes from."""

    authors: str
    """Last names, separated by commas."""
    title: str
    venue: str
    """Venue and year."""

    def __str__(self) -> str:
        return f"{self.authors}: {self.title}. {self.venue}"

    @property
    def short(self) -> str:
        """`Croce and Hein, ICML 2020`."""
        names = self.authors.split(", ")
        first = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f"{first}, {self.venue}"


@dataclass(frozen=True)
class AttackFacts:
    """One named attack. A setting that is None here is one that the attack does not take."""

    summary: str
    """One line."""
    paper: Paper
    norms: tuple[str, ...] = _NORMS
    gradient: bool = True
    """False: only the model's outputs are used."""
    stages: tuple[str, ...] = ()
    """Of an ensemble: the attacks it is made of, in the order of their first turns."""
    stop: str = "never"
    steps: int | None = None
    """Gradients per start; queries where `gradient` is false."""
    step_size: StepShare | None = None
    restarts: int | None = 1
    random_start: bool | None = None
    targets: int | None = None
    objective: str | None = None
    step_rule: str | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    diversity: float | None = None
    translation: int | None = None
    scales: int | None = None
    target: bool = True
    """Whether it can aim at one class."""
    eot: bool = True
    """Whether it can average over a model that answers at random."""

    def takes(self, setting: str) -> bool:
        """Whether a setting of `schemas.job.attack_recipe.Attack` means anything to this attack."""
        fact = getattr(self, setting, True)
        return fact if setting in ("target", "eot") else fact is not None

    def defaults(self) -> dict[str, Any]:
        """What stands for every setting that may be left unset, `step_size` excepted: that depends on eps."""
        names = [name for name in DEFAULTED if getattr(self, name) is not None]
        return {name: getattr(self, name) for name in names}


DEFAULTED = (
    "stop",
    "steps",
    "random_start",
    "targets",
    "objective",
    "step_rule",
    "momentum",
    "nesterov",
    "diversity",
    "translation",
    "scales",
)
"""Settings whose default depends on the attack's name."""

_MADRY = (
    "Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks. ICLR 2018"
)
_CROCE = Paper(
    "Croce, Hein",
    "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
    "ICML 2020",
)
_XIE = Paper(
    "Xie, Zheng, Huang, Ye, Ma",
    "Towards million-scale adversarial robustness evaluation with stronger individual attacks",
    "CVPR 2025",
)

_PGD = AttackFacts(
    summary="projected gradient descent from a random start",
    paper=Paper(
        "Madry, Makelov, Schmidt, Tsipras, Vladu",
        "Towards deep learning models resistant to adversarial attacks",
        "ICLR 2018",
    ),
    steps=10,
    # 2.5 * eps / steps is Madry et al.'s own choice for CIFAR-10, and torchattacks' at 10 steps.
    step_size=StepShare(Fraction(5, 2), per_step=True),
    random_start=True,
    objective="cross_entropy",
    step_rule="fixed",
    momentum=0.0,
    nesterov=False,
    diversity=0.0,
    translation=1,
    scales=1,
)

_MOMENTUM = replace(
    _PGD,
    summary="iterative steps along an average of gradients, for transfer to other models",
    paper=Paper("Dong, Liao, Pang, Su, Zhu, Hu, Li", "Boosting adversarial attacks with momentum", "CVPR 2018"),
    norms=("linf", "l2"),
    step_size=StepShare(Fraction(1), per_step=True),
    random_start=False,
    step_rule=None,
    momentum=1.0,
)

_APGD = AttackFacts(
    summary="Auto-PGD on cross-entropy: a step that halves where progress stalls",
    paper=_CROCE,
    steps=100,
    step_size=StepShare(Fraction(2), l1_factor=Fraction(1)),
    random_start=True,
    objective="cross_entropy",
)

_ENSEMBLE = AttackFacts(
    summary="ensemble of AutoAttack's strength: attacks in turn, each on the rows that still resist",
    paper=_CROCE,
    norms=("linf", "l2"),
    stages=("apgd_ce", "apgd_t", "square", "pma"),
    stop="success",
    restarts=None,
    targets=MOST_TARGETS,
    target=False,
)

ATTACK_FACTS: Mapping[str, AttackFacts] = MappingProxyType(
    {
        "fgsm": AttackFacts(
            summary="one step of the whole budget",
            paper=Paper("Goodfellow, Shlens, Szegedy", "Explaining and harnessing adversarial examples", "ICLR 2015"),
            steps=1,
            step_size=StepShare(Fraction(1)),
            random_start=False,
            objective="cross_entropy",
        ),
        # Kurakin et al. take steps of one level, 1.25 times as many as the budget has levels.
        "bim": replace(
            _PGD,
            summary="the basic iterative method: pgd without a random start",
            paper=Paper("Kurakin, Goodfellow, Bengio", "Adversarial machine learning at scale", "ICLR 2017"),
            step_size=StepShare(Fraction(5, 4), per_step=True),
            random_start=False,
        ),
        "pgd": _PGD,
        "mi_fgsm": _MOMENTUM,
        "ni_fgsm": replace(
            _MOMENTUM,
            summary="mi_fgsm that looks ahead along its momentum, over 5 scales of the image (SI-NI-FGSM)",
            paper=Paper(
                "Lin, Song, He, Wang, Hopcroft",
                "Nesterov accelerated gradient and scale invariance for adversarial attacks",
                "ICLR 2020",
            ),
            nesterov=True,
            scales=5,
        ),
        "di_fgsm": replace(
            _MOMENTUM,
            summary="mi_fgsm that shows the model resized and padded images in half of its passes",
            paper=Paper(
                "Xie, Zhang, Zhou, Bai, Wang, Ren, Yuille",
                "Improving transferability of adversarial examples with input diversity",
                "CVPR 2019",
            ),
            diversity=0.5,
        ),
        # Dong et al. smooth over 15 pixels of 299; 7 is what later comparisons (TransferAttack) take.
        "ti_fgsm": replace(
            _MOMENTUM,
            summary="mi_fgsm with gradients smoothed by a Gaussian kernel, which stands for shifted images",
            paper=Paper(
                "Dong, Pang, Su, Zhu",
                "Evading defenses to transferable adversarial examples by translation-invariant attacks",
                "CVPR 2019",
            ),
            translation=7,
        ),
        "apgd_ce": _APGD,
        "apgd_dlr": replace(
            _APGD,
            summary="Auto-PGD on the difference of logits ratio, blind to the scale of the logits",
            objective=None,
        ),
        "apgd_t": replace(
            _APGD,
            summary="Auto-PGD on the targeted DLR, 100 steps towards each of the most likely wrong classes",
            objective=None,
            targets=MOST_TARGETS,
        ),
        # Each restart is two passes: one lifts the best wrong class first, the other lowers the label first.
        "pma": AttackFacts(
            summary="probability margin attack: two passes of 100 steps with a cosine step, near AutoAttack's strength",
            paper=_XIE,
            norms=("linf", "l2"),
            steps=100,
            step_size=StepShare(Fraction(2)),
            random_start=True,
        ),
        "square": AttackFacts(
            summary="random search with squares that needs the model's outputs alone; its steps are queries",
            paper=Paper(
                "Andriushchenko, Croce, Flammarion, Hein",
                "Square attack: a query-efficient black-box adversarial attack via random search",
                "ECCV 2020",
            ),
            norms=("linf", "l2"),
            gradient=False,
            steps=5000,
            eot=False,
        ),
        "fmn": AttackFacts(
            summary="fast minimum norm: the smallest change that fools, at most eps",
            paper=Paper(
                "Pintor, Roli, Brendel, Biggio",
                "Fast minimum-norm adversarial attacks through adaptive norm constraints",
                "NeurIPS 2021",
            ),
            steps=100,
            restarts=None,
        ),
        "standard": _ENSEMBLE,
        "fast": replace(
            _ENSEMBLE,
            summary="ensemble close to standard, at a fraction of its cost",
            paper=_XIE,
            stages=("pma", "square", "apgd_t"),
            targets=5,
        ),
    }
)
"""Every named attack, simplest first, ensembles last."""


def takers(setting: str) -> tuple[str, ...]:
    """The attacks that take a setting."""
    return tuple(name for name, facts in ATTACK_FACTS.items() if facts.takes(setting))
