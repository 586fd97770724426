"""The declaration of an attack: origin, composition, the settings it takes, and code version in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hardset.schemas.base import Spec
from hardset.schemas.norms import BALLS, Norm


@dataclass(frozen=True)
class StepShare:
    """Length of an unset step as a share of eps."""

    factor: Fraction
    per_step: bool = False
    """Whether the factor is divided by the number of steps."""
    l1_factor: Fraction | None = None
    """Factor under the L1 norm; None: `factor`."""

    def __call__(self, steps: int, norm: Norm) -> Fraction:
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
    """The publication of an attack."""

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
class Part:
    """One attack of an ensemble, run on the rows that resisted those before it."""

    name: str
    """Name of the attack, or its import path."""
    steps: int
    targets: int = 0
    """Number of likely wrong classes that an attack which goes towards them tries."""
    on: bool = False
    """Whether it goes on from where the parts before it ended, in steps of half the budget at most."""
    norms: tuple[Norm, ...] = BALLS
    """Norms in which it is part of the ensemble."""


@dataclass(frozen=True)
class AttackDeclaration:
    """One attack, whole. A setting of the job file that is None here is one that the attack does not take.

    An attack of hardset names its loss and schedule by the keys of `LOSSES` and `SCHEDULES` in
    `pipeline.attacks.pieces`; one from elsewhere may hold the objects themselves, or a function that makes them from
    its own settings.
    """

    summary: str
    """Description in one line."""
    paper: Paper | None = None
    """Publication that describes it; None where there is none."""
    code: int | None = None
    """Version of its code, raised when it starts to make other images from the same settings. None, for attacks from
    elsewhere alone: the digest of the distribution or of the source files that declare it."""
    code_in: Mapping[Norm, int] = field(default_factory=dict)
    """Versions in the norms where it was raised alone, so that rows of the others keep their recipe."""
    norms: tuple[Norm, ...] = BALLS

    loss: Any = "cross_entropy"
    """Loss that it maximises where the job sets no `objective`: a key of `LOSSES`, a `Loss`, or a function of the
    settings that returns one."""
    loss_going_on: Any = None
    """Loss of a search that goes on from the end of another; None: `loss`."""
    schedule: Any = "fixed"
    """Rule that moves its iterate: a key of `SCHEDULES`, a `Schedule`, or a function of the settings that returns
    one."""
    gradient: bool = True
    """Whether it uses gradients, as its schedule says, too; false: the model's outputs alone."""
    minimal: bool = False
    """Whether it looks for each row's smallest change, as its schedule says, too: it goes on after a success, and eps
    is the most that a row may change."""
    towards: bool = False
    """Whether each search is guided towards a likely wrong class, though any error will do."""
    turns: int = 1
    """Number of searches that belong together: a restart repeats all of them."""
    parts: tuple[Part, ...] = ()
    """The attacks that an ensemble runs in turn; it has no loss and no schedule of its own."""

    foreign: bool = False
    """Whether another library, or a function, makes its images: it has no loss and no schedule, and takes but a few
    settings of a job file, arguments of its own under `settings` among them."""

    settings: type[Spec] | None = None
    """Settings of its own, which a job gives under `settings`; None where it has none."""
    # From here on: defaults of the settings of `schemas.job.attack_recipe.Attack`, which documents them.
    stop: str = "never"
    steps: int | None = None
    """Number of gradients per start; of queries where `gradient` is false."""
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
    chain: bool | None = True
    """Whether the search at one of several budgets starts where the next smaller one ended; false where the name stands
    for a published method that starts anew. None: it takes no list of budgets."""
    target: bool = True
    """Whether it can aim at one class."""
    eot: bool = True
    """Whether it can average over a model that answers at random."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The attacks that an ensemble is made of, in the order of their first turns."""
        return tuple(dict.fromkeys(part.name for part in self.parts))

    def parts_in(self, norm: Norm) -> tuple[Part, ...]:
        """The attacks that an ensemble runs in a norm; empty for what is no ensemble."""
        return tuple(part for part in self.parts if norm in part.norms)

    def code_under(self, norm: Norm) -> int | None:
        """The version of its own code in a norm."""
        return self.code_in.get(norm, self.code)

    def takes(self, setting: str) -> bool:
        """Whether a setting of `schemas.job.attack_recipe.Attack` means anything to this attack."""
        if self.foreign:
            return setting in _FOREIGN
        declared = getattr(self, setting, True)
        return declared if setting in ("target", "eot") else declared is not None

    def defaults(self) -> dict[str, Any]:
        """Values of all settings that may be left unset, `step_size` excepted: that depends on eps."""
        names = [] if self.foreign else [name for name in DEFAULTED if getattr(self, name) is not None]
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
"""Settings whose default depends on the attack, `chain` excepted: that depends on eps, too."""
_FOREIGN = ("kind", "name", "norm", "eps", "chain", "target", "misclassified", "settings")
"""Settings that an attack of another library takes."""
