"""The attack recipe: the settings that an attack takes, each documented, typed and checked where it is declared."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.extensions import ImportPath
from hardset.schemas.job.attack_declaration import AttackDeclaration
from hardset.schemas.job.attack_names import AttackName
from hardset.schemas.job.attacks import ATTACKS, takers
from hardset.schemas.job.bounds import MOST_CLASSES
from hardset.schemas.job.quantities import Amount, Rational, bounds, check_pixels
from hardset.schemas.norms import Norm
from hardset.schemas.reading.wording import one_of

Probability = Annotated[float, Field(ge=0, le=1)]
Position = Annotated[int, Field(ge=0, le=16_384)]
Budgets = Annotated[tuple[Rational, ...], Field(min_length=1, max_length=64)]


class AfterSuccess(Spec):
    """A row takes so many more steps once it has fallen, to go deeper than the border."""

    after_success: Annotated[int, Field(ge=1, le=100_000, examples=[5])]
    """Steps after the first fall."""


class Region(Spec):
    """The rectangle whose values an attack may change; all others stay as they are. With eps 1 it is a free patch."""

    height: Annotated[int, Field(ge=1, le=16_384)]
    """Rows of pixels."""
    width: Annotated[int, Field(ge=1, le=16_384)]
    """Columns of pixels."""
    place: Literal["center", "random"] | tuple[Position, Position] = "center"
    """Where it lies: in the centre, drawn for each row, or [y, x] of its upper left pixel."""


class Attack(Spec):
    """Adversarial rows: each source row moved within a budget until the model errs."""

    kind: Literal["attack"] = "attack"
    name: AttackName
    """Which attack; `hardset attacks` lists them with their defaults, norms and papers. standard and fast are
    ensembles, whose attacks and budgets are fixed. Or one from elsewhere: the import path of its declaration or of a
    function, the name under which an installed package brings it, or that of another library's, such as
    art:ProjectedGradientDescent."""
    norm: Norm = "linf"
    """Norm that the budget is measured in. Unset: linf, or the first that the attack takes."""
    eps: Amount | Budgets
    """Budget on the [0, 1] pixel scale (for L2 and L1: of the whole image's norm; for L0 a whole number of pixels), or
    a list of up to 64: one output row per budget. For fmn, ddn, fab and sigma_zero the largest change they may end
    with."""
    chain: bool | None = Field(default=None, exclude_if=lambda given: given is None)
    """Whether the search at one of several budgets starts where the next smaller one ended, and takes its fall over;
    false: each starts anew. Unset: false for fgsm, bim, pgd and the transfer family, whose names stand for that; else
    true."""
    step_size: Amount | None = None
    """Length of a step in the same norm and scale; the first one where the attack shortens its steps. Unset: a share
    of eps that depends on the attack."""
    steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Gradient steps per start; for square queries of the model. Unset: depends on the attack."""
    restarts: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Starts per row; the best is kept."""
    random_start: bool | None = None
    """Start uniformly inside the ball; further restarts always do. Unset: depends on the attack."""
    target: Literal["random", "least_likely", "next"] | Annotated[int, Field(ge=0, lt=MOST_CLASSES)] | None = None
    """Class to reach: drawn per row, the least likely one, label + 1, or a class number. Unset: any error."""
    targets: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """How many of the most likely wrong classes are tried in turn; any error counts. Unset: 9, 5 for fast, or
    all there are."""
    stop: Literal["success", "never"] | AfterSuccess | None = None
    """success: a row is done at its first fall (evaluation); never: all steps are spent and the row of highest loss is
    kept (training); {after_success: N}: N more steps after the fall. Unset: never, and success for ensembles."""
    misclassified: Literal["attack", "skip"] = "attack"
    """Rows that the model gets wrong from the start: attacked like the others, or stored clean and flagged."""
    objective: Literal["cross_entropy", "margin", "dlr", "probability_margin"] | ImportPath | None = None
    """What is maximised, or the import path of a function (logits, labels, targets) -> loss, one per row. Unset:
    cross_entropy where the attack's name does not fix it."""
    step_rule: Literal["fixed", "cosine"] | None = None
    """Length of later steps: the same, or falling to 0 along a cosine. Unset: fixed."""
    eot: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Forward passes that each gradient is averaged over (expectation over transformation), for models that answer
    at random."""
    momentum: Annotated[float, Field(ge=0)] | None = None
    """Share of the last direction that is kept in the next one; 0 is none. Unset: 1 for the transfer family."""
    nesterov: bool | None = None
    """Take the gradient one step ahead along the momentum. Unset: true for ni_fgsm."""
    diversity: Probability | None = None
    """Share of the passes in which the model is shown the image resized and padded. Unset: 0.5 for di_fgsm."""
    translation: Annotated[int, Field(ge=1, le=63)] | None = None
    """Side in pixels, odd, of the Gaussian kernel that smooths the gradient; 1 is none. Unset: 7 for ti_fgsm."""
    scales: Annotated[int, Field(ge=1, le=64)] | None = None
    """Copies of the image, each half as bright as the one before, that every gradient is averaged over. Unset: 5 for
    ni_fgsm."""
    region: Region | None = None
    """Rectangle that alone may change: a patch attack. Unset: the whole image."""
    settings: dict[str, Any] | None = Field(default=None, exclude_if=lambda given: given is None)
    """Settings that an attack from elsewhere declares as its own, or arguments of another library's; `hardset attacks
    NAME` lists them."""

    @model_validator(mode="before")
    @classmethod
    def _in_its_norm(cls, given: Any) -> Any:
        """An unset norm is Linf, or the first that the attack takes where Linf is none of them."""
        unset = isinstance(given, dict) and "norm" not in given
        declared = ATTACKS.get(str(given.get("name"))) if unset else None
        if declared is None or cls.model_fields["norm"].default in declared.norms:
            return given
        return {**given, "norm": declared.norms[0]}

    @field_validator("eps")
    @classmethod
    def _ascending(cls, eps: Amount | tuple[Fraction, ...]) -> Amount | tuple[Fraction, ...]:
        if not isinstance(eps, tuple):
            return eps
        twice = next((value for value in eps if eps.count(value) > 1), None)
        if twice is not None:
            raise ValueError(f"has {twice} twice; each budget makes a row of its own, so remove one")
        return tuple(sorted(eps)) if len(eps) > 1 else eps[0]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self._check_amounts()
        declared = ATTACKS.get(self.name)
        if declared is not None:  # what is declared elsewhere is checked when it is imported
            self.check(declared)
        return self

    def _check_amounts(self) -> None:
        low, high = bounds(self.eps)
        if low < 0:
            raise ValueError(f"eps: got {low}; wants 0 or more")
        if self.norm == "linf" and high > 1:
            raise ValueError(f"eps: got {high}; {_too_large(high)}")
        if self.norm == "l0":
            for eps in self.eps if isinstance(self.eps, tuple) else (low, high):
                check_pixels(eps)
        smallest, largest = bounds(self.step_size) if self.step_size is not None else (1, 1)
        if smallest <= 0:
            raise ValueError(f"step_size: got {smallest}; wants more than 0")
        if self.norm == "linf" and largest > 1:
            raise ValueError(f"step_size: got {largest}; {_too_large(largest)}")

    def check(self, declared: AttackDeclaration) -> None:
        """Raises ValueError, which begins with a key, where the attack would have to ignore a setting."""
        self._check_taken(declared)
        self._check_combinations(declared)

    def _check_taken(self, declared: AttackDeclaration) -> None:
        if self.norm not in declared.norms:
            others = [name for name, other in ATTACKS.items() if self.norm in other.norms]
            raise ValueError(
                f"norm: got {self.norm}; {self.name} wants {one_of(declared.norms)}; {self.norm} suits {one_of(others)}"
            )
        for setting, field in type(self).model_fields.items():
            unset = getattr(self, setting) in (None, field.default)
            if not unset and not declared.takes(setting):
                reason = _reason(declared, setting)
                others = list(takers(setting))
                does = "that does" if len(others) == 1 else "those that do"
                told = f"; {does}: {', '.join(others)}" if others else ""
                raise ValueError(f"{setting}: {self.name} takes no {setting}{reason}{told}")

    def _check_combinations(self, declared: AttackDeclaration) -> None:
        if self.chain is not None and not isinstance(self.eps, tuple):
            raise ValueError("chain: links several budgets, and eps is one; wants a list of budgets, or no chain")
        if self.name == "fgsm" and self.steps not in (None, 1):
            raise ValueError(f"steps: got {self.steps}; fgsm takes one step, use bim or pgd for more")
        if self.target is not None and self.targets is not None:
            raise ValueError(
                "targets: stands beside target; keep target to reach one class, or targets to try several for any error"
            )
        if self.translation is not None and self.translation % 2 == 0:
            raise ValueError(
                f"translation: got {self.translation}; wants an odd number, so that the kernel has a centre"
            )
        momentum = declared.momentum if self.momentum is None else self.momentum
        if (declared.nesterov if self.nesterov is None else self.nesterov) and momentum == 0:
            raise ValueError("nesterov: looks ahead along the momentum, which is 0; set momentum, or nesterov: false")
        if self.step_rule == "cosine" and momentum:
            raise ValueError("step_rule: the steps along a momentum are all of one length; wants fixed, or momentum: 0")
        if declared.minimal and self.stop not in (None, "never"):
            raise ValueError(f"stop: {self.name} goes on after success, to find a smaller change; wants never")
        if declared.minimal and isinstance(self.eps, tuple):
            raise ValueError(
                f"eps: {self.name} finds each row's smallest change by itself; wants one number, the most it may change"
            )

    @property
    def variants(self) -> int:
        """Rows made from each source row: one per budget."""
        return len(self.eps) if isinstance(self.eps, tuple) else 1

    @property
    def called(self) -> str:
        """Name, followed by `chain` where budgets are chained though the name alone promises fresh starts."""
        declared = ATTACKS.get(self.name)
        return f"{self.name} chain" if self.chain and declared is not None and not declared.chain else self.name

    @property
    def op(self) -> str:
        """Value of the column `op`, such as `pgd_linf` or `pgd_chain_linf`."""
        return f"{self.called.replace(' ', '_')}_{self.norm}"

    def resolved(self, classes: int | None = None, declared: AttackDeclaration | None = None) -> Attack:
        """The same attack with every unset setting that it takes written out.

        `step_size` stays unset where eps is a range or a list. `classes` of the model cut the default of `targets`.
        `declared`: the declaration of an attack that is not of the table; without it such an attack stays as it is.
        """
        declared = declared or ATTACKS.get(self.name)
        if declared is None:
            return self
        unset = {name: value for name, value in declared.defaults().items() if getattr(self, name) is None}
        if self.target is not None:
            unset.pop("targets", None)
        if "targets" in unset and classes is not None:
            unset["targets"] = min(unset["targets"], classes - 1)
        if self.chain is None and isinstance(self.eps, tuple):
            unset["chain"] = declared.chain
        steps, share = self.steps or declared.steps, declared.step_size
        if self.step_size is None and share and steps and isinstance(self.eps, Fraction) and self.eps > 0:
            step_size = self.eps * share(steps, self.norm)
            # A sign step of 1 already crosses the whole pixel range.
            unset["step_size"] = min(step_size, Fraction(1)) if self.norm == "linf" else step_size
        return self.model_copy(update=unset)


def _too_large(amount: Fraction | int) -> str:
    hint = f" (write {amount}/255, not {amount})" if amount.denominator == 1 and amount <= 255 else ""
    return f"wants at most 1, pixels lie in [0, 1]{hint}"


def _reason(declared: AttackDeclaration, setting: str) -> str:
    """The reason why an attack takes no such setting, where that is not plain."""
    if setting == "settings":
        return " of its own"
    if declared.foreign:
        return ", as another library's; its own arguments stand under settings"
    if declared.parts:
        return ", its attacks and their budgets are fixed"
    if setting == "objective":
        return ", its own is what it is named for" if declared.gradient else ", it searches by the margin"
    if not declared.gradient:
        return ", it uses no gradients"
    return ", it adapts its steps itself" if setting in ("step_size", "step_rule") else ""
