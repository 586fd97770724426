"""Job file of an evaluation: models, attacks and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_recipe import Attack, Budgets
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.bounds import MOST_ACTORS, MOST_CLASSES
from hardset.schemas.job.job import HeldOut, Member, Model, Name, Run, check_classes
from hardset.schemas.job.operations.corruptions import CorruptionName
from hardset.schemas.job.quantities import Amount, Range, Rational, check_pixels
from hardset.schemas.job.sources import Source
from hardset.schemas.job.worst_of import NaturalChanges
from hardset.schemas.norms import Norm
from hardset.schemas.reading.loading import load_job_file, parse_document

CORRUPTIONS: tuple[CorruptionName, ...] = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "gaussian_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg",
)
"""Default corruptions: a noise, blur, tone and loss of detail each, quick ones that suit grey images, too."""
SUITE = ("fgsm", "pgd", "fast", "square")
"""Default attacks: one step, many steps, an ensemble, and one without gradients, so that every warning has its
input."""
# A quarter to four times the budget shows where accuracy falls off; the last must take it to 0. 128/255: every image
# of 8 bits can be made the same grey, so that no model can tell classes apart. L2 and L1: sixteen times is past half
# the pixel range for the budgets in use.
_CURVE = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))
_HALF_RANGE = Fraction(128, 255)
_VANISHING = 16


class Threat(Spec):
    """Threat model: norm and budget of an adversary. The attacks of its norm evaluate it; the first is the headline."""

    norm: Norm = "linf"
    """Norm of the budget."""
    eps: Rational
    """Budget on the [0, 1] pixel scale (for L2 and L1: of the whole image's norm; for L0 a whole number of pixels)."""

    @model_validator(mode="after")
    def _sound(self) -> Threat:
        if self.eps <= 0:
            raise ValueError(f"eps: got {self.eps}; wants more than 0")
        if self.norm == "linf" and self.eps > 1:
            hint = f" (write {self.eps}/255, not {self.eps})" if self.eps.denominator == 1 and self.eps <= 255 else ""
            raise ValueError(f"eps: got {self.eps}; wants at most 1, pixels lie in [0, 1]{hint}")
        if self.norm == "l0":
            check_pixels(self.eps)
        return self

    @property
    def curve(self) -> tuple[Fraction, ...]:
        """Default budgets of attacks, ascending: around `eps`, and one at which accuracy must vanish."""
        if self.norm == "l0":
            whole = {Fraction(math.ceil(share * self.eps)) for share in _CURVE}
            return (*sorted(whole), _VANISHING * self.eps)
        if self.norm != "linf":
            return (*(share * self.eps for share in _CURVE), _VANISHING * self.eps)
        last = max(_HALF_RANGE, min(8 * self.eps, Fraction(1)))
        # Whole levels, since no stored row can use the rest.
        levels = {Fraction(int(share * self.eps * 255), 255) for share in _CURVE if share != 1}
        return tuple(sorted({self.eps, last, *(eps for eps in levels if 0 < eps < last)}))


class EvaluatedModel(HeldOut):
    """Classifier to evaluate. With `members` it is an ensemble, which predicts by its mean logits."""

    members: tuple[Member, ...] = ()
    """Further networks with the same classes; the first member is the model above. Empty: no ensemble."""
    combine: Literal["logits", "loss"] = "logits"
    """Quantity that an attack on an ensemble averages over the members: logits or losses."""
    hardened_from: Name | None = None
    """Name of the model that this one was hardened from; its gains are reported relative to that model."""
    last_of: Name | None = None
    """Name of the model whose last checkpoint this is; that model is the checkpoint chosen by validation."""
    trained_on: tuple[str, ...] = ()
    """Folders of hardset datasets that the model was trained on; any fsspec URL. Its accuracy on their adversarial rows
    is compared with its robust accuracy, and an evaluated row from which one of their training rows was made is an
    error."""

    def model(self, classes: int) -> Model:
        """Model under attack with the same settings."""
        fields = self.model_dump(exclude={"name", "hardened_from", "last_of", "trained_on"})
        return Model(**fields, classes=classes)


class MeasuredAttack(Attack):
    """Attack of an evaluation. A row is done at its first success unless `stop` says otherwise."""

    eps: Amount | Budgets = Fraction(0)
    """Budget, or a list of budgets that includes the threat's. Unset: a quarter, half, once, twice and four times the
    budget of the threat with the same norm, and one at which accuracy must vanish; for fmn, ddn and fab, and for
    fgsm, whose one step another budget does not lead to, the threat's alone."""


class Output(Spec):
    """What is written, and where."""

    path: str
    """Folder of the evaluation; any fsspec URL."""
    part_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Maximum number of rows per part, the unit of work and of resuming: one attack on one model."""


NOT_OF_PARTS = ("shards_per_actor", "start_minutes", "shard_minutes")
"""Settings of a run that tell of shards, which an evaluation has none of."""


class EvaluationRun(Run):
    """Distribution of the work; `batch`, `precision` and `compile` can also change single rows."""

    actors: Annotated[int, Field(ge=1, le=MOST_ACTORS)] = 1
    """Number of Ray actors; 1 without --address runs in the command's own process, without Ray."""

    @model_validator(mode="after")
    def _taken(self) -> EvaluationRun:
        for key in NOT_OF_PARTS:
            if key in self.model_fields_set:
                raise ValueError(f"{key}: an evaluation has parts and no shards; remove it")
        return self


class EvaluationJob(Spec):
    """Job file of `hardset evaluate`."""

    name: Name
    """Name of the evaluation in records and reports: letters, digits, dot, dash, underscore."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of all randomness: the same seed gives the same figures."""
    source: Source
    """Source of the rows. Name a split that no model was trained on."""
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)]
    """Number of logits of every model."""
    models: Annotated[tuple[EvaluatedModel, ...], Field(min_length=1)]
    """Classifiers to evaluate."""
    threats: Annotated[tuple[Threat, ...], Field(min_length=1)]
    """Threat models, one per norm. The first is the headline."""
    attacks: tuple[MeasuredAttack, ...] = Field(default=(), validate_default=True)
    """Attacks, each run on every model under the threat of its norm. Empty: fgsm, pgd, fast and square, where they
    support the threat's norm."""
    corruptions: tuple[CorruptionName, ...] = CORRUPTIONS
    """Non-adversarial changes, of ImageNet-C (Hendrycks & Dietterich 2019, arXiv:1903.12261) and of ImageNet-C-bar
    (Mintun et al. 2021, arXiv:2102.11273)."""
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 3, 5)
    """Severities of the corruptions, 1 to 5."""
    strengths: Literal["auto", "cifar", "imagenet"] = "auto"
    """Set of strengths of the corruptions. cifar: chosen for 32 x 32 pixels; imagenet: for 224 x 224; auto: cifar where
    no side of the rows is longer than 64 pixels."""
    shifts: tuple[Annotated[int, Field(ge=1, le=4)], ...] = (1, 2)
    """Maximum shifts in pixels, in both directions, filled with black; the worst of all such shifts counts."""
    worst_of: tuple[NaturalChanges, ...] = ()
    """Drawn natural changes of which the worst counts, such as rotations and shifts: each a list of operations as of an
    augment recipe, and a number of draws."""
    output: Output
    """What is written, and where."""
    run: EvaluationRun = EvaluationRun()
    """How the work is spread."""

    @field_validator("attacks")
    @classmethod
    def _budgeted(cls, attacks: tuple[MeasuredAttack, ...], others: ValidationInfo) -> tuple[MeasuredAttack, ...]:
        threats: dict[str, Threat] = {threat.norm: threat for threat in others.data.get("threats", ())}
        return tuple(_with_budgets(attack, threats.get(attack.norm)) for attack in attacks or _suite(threats.values()))

    @model_validator(mode="after")
    def _whole(self) -> EvaluationJob:
        self._check_models()
        self._check_threats()
        for position, attack in enumerate(self.attacks):
            _check_budgets(attack, f"attacks.{position}", [t for t in self.threats if t.norm == attack.norm])
            check_classes(attack, f"attacks.{position}", self.classes)
        return self

    def _check_models(self) -> None:
        names = [model.name for model in self.models]
        for position, model in enumerate(self.models):
            at, first = f"models.{position}", names.index(model.name)
            if first != position:
                raise ValueError(
                    f"{at}.name: got {model.name!r}, which is the name of models.{first} too; wants another"
                )
            for key, other in (("hardened_from", model.hardened_from), ("last_of", model.last_of)):
                if other is not None and (other == model.name or other not in names):
                    others = ", ".join(name for name in names if name != model.name) or "there is none"
                    raise ValueError(f"{at}.{key}: got {other!r}; wants the name of another model: {others}")

    def _check_threats(self) -> None:
        norms = [threat.norm for threat in self.threats]
        for position, norm in enumerate(norms):
            at, first = f"threats.{position}.norm", norms.index(norm)
            if first != position:
                raise ValueError(
                    f"{at}: got {norm}, as threats.{first} has; wants one threat for each norm, and further budgets in "
                    "the attacks' eps"
                )
            if not any(attack.norm == norm for attack in self.attacks):
                raise ValueError(f"{at}: no attack has the norm {norm}; add one, or remove the threat")

    @property
    def stochastic(self) -> bool:
        """Whether the models may be stochastic: every attack averages gradients over their randomness (eot above 1)."""
        return all(attack.eot > 1 for attack in self.attacks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the attacks: name, with the norm if there are several threats, and a number if that is
        ambiguous."""
        several = len(self.threats) > 1
        names = [f"{attack.called} {attack.norm}" if several else attack.called for attack in self.attacks]
        return _numbered(names)

    @property
    def worst_labels(self) -> tuple[str, ...]:
        """Names of the entries of `worst_of` among the conditions, numbered where that is ambiguous."""
        return _numbered([f"worst of {', '.join(operation.name for operation in one.ops)}" for one in self.worst_of])

    def threat_of(self, attack: Attack) -> Threat:
        """Threat with the norm of an attack."""
        return next(threat for threat in self.threats if threat.norm == attack.norm)


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        name if names.count(name) == 1 else f"{name} #{names[: at + 1].count(name)}" for at, name in enumerate(names)
    )


def _suite(threats: Any) -> tuple[MeasuredAttack, ...]:
    return tuple(
        MeasuredAttack(name=name, norm=threat.norm)
        for threat in threats
        for name in SUITE
        if threat.norm in ATTACKS[name].norms
    )


def _with_budgets(attack: MeasuredAttack, threat: Threat | None) -> MeasuredAttack:
    """Attack with the curve of its threat as budgets, if it names none."""
    if attack.eps != 0 or threat is None:
        return attack
    declared = ATTACKS.get(attack.name)
    alone = declared is not None and (declared.minimal or declared.steps == 1)
    curve = (threat.eps,) if alone else threat.curve
    return attack.model_copy(update={"eps": curve if len(curve) > 1 else curve[0]})


def _check_budgets(attack: MeasuredAttack, at: str, threats: Sequence[Threat]) -> None:
    if not threats:
        raise ValueError(
            f"{at}.norm: there is no threat of the norm {attack.norm}; add one to threats, at whose eps it is judged"
        )
    if isinstance(attack.eps, Range):
        raise ValueError(f"{at}.eps: got a range; a figure belongs to one budget, so wants a number or a list of them")
    if threats[0].eps not in (attack.eps if isinstance(attack.eps, tuple) else (attack.eps,)):
        raise ValueError(f"{at}.eps: lacks {threats[0].eps}, the budget of the threat {attack.norm}; add it")


def load_evaluation(path: str | Path, overrides: Sequence[str] = ()) -> EvaluationJob:
    """Validated evaluation from a YAML file, with `key.path=value` overrides applied.

    Raises JobError with one line per fault: file, key path, the value given, the value expected.
    """
    return load_job_file(path, overrides, EvaluationJob)


def parse_evaluation(document: dict[str, Any], overrides: Sequence[str] = (), *, name: str = "job") -> EvaluationJob:
    """Validated evaluation from a mapping. Raises JobError with one line per fault, each beginning with `name`."""
    return parse_document(document, overrides, EvaluationJob, name=name)
