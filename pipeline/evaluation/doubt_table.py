"""The warnings of an evaluation: one declaration each, of what is told, when, and what that means."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hardset.pipeline.evaluation import doubts
from hardset.pipeline.evaluation.figures import condition_means
from hardset.schemas.norms import Norm
from hardset.schemas.records.evaluation import AttackFigures, Evaluation, Finding, ModelFigures, Share, ThreatFigures
from hardset.schemas.records.run import Image

AT_CHANCE = "at_chance"


@dataclass(frozen=True)
class Doubt:
    """One warning."""

    kind: str
    """Name in records."""
    given: str
    """When it is given, in a line."""
    meaning: str
    """What it means, in a line."""
    found: Callable[[ModelFigures, Evaluation], Iterator[str | None]]
    """(model, its evaluation) -> a sentence for each thing that was looked at; None where there is no doubt."""
    too_high: bool = False
    """Whether robust accuracy may be lower than the figure says."""
    of_any: bool = False
    """Whether it is told of models, too, that know nothing of their classes."""


def doubtful(record: Evaluation, model: ModelFigures) -> bool:
    """Whether a warning says that the robust accuracy of a model may be too high. None is where there is none left."""
    kinds = {finding.kind for finding in record.warnings if finding.model == model.name}
    return model.robust.rows > 0 and any(doubt.too_high for doubt in DOUBTS if doubt.kind in kinds)


def warnings_of(record: Evaluation) -> tuple[Finding, ...]:
    """All warnings of an evaluation, model by model. Of a model at chance nothing else is told than that."""
    return tuple(finding for model in record.models for finding in _about(model, record))


def _about(model: ModelFigures, record: Evaluation) -> Iterator[Finding]:
    at_chance = any(_at_chance(model, record))
    for doubt in DOUBTS:
        if doubt.of_any or not at_chance:
            for text in doubt.found(model, record):
                if text is not None:
                    yield Finding(kind=doubt.kind, model=model.name, text=text)


def _missing_classes(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    if model is record.models[0]:
        yield doubts.missing_classes([one.support for one in model.classes])


def _at_chance(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    yield doubts.at_chance(model.clean, model.confusion_clean)


def _by_chance(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    yield doubts.by_chance(_changed(model), model.clean.rows)


def _static_shard(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    for shard in model.shards:
        yield doubts.static_shard(shard.right, model.robust, shard.dataset)


def _fgsm_gap(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        single = _at(attacks, threat.eps, lambda one: one.attack["name"] == "fgsm")
        iterated = _at(attacks, threat.eps, _iterated)
        if single and iterated:
            label, strongest = _worst(iterated)
            yield doubts.fgsm_gap(_worst(single)[1], strongest, model.clean, label)


def _held_out(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    if model.hardened_from is None:
        return
    baseline = record.model(model.hardened_from)
    trained = model.robust.value - baseline.robust.value
    before, after = (_families(one) for one in (baseline, model))
    for family, accuracy in before.items():
        if family in after and baseline.clean.value - accuracy > doubts.GAIN_WORTH_COMPARING:
            yield doubts.held_out_family(family, after[family] - accuracy, trained)


def _robust_overfitting(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    if model.last_of is not None:
        yield doubts.robust_overfitting(record.model(model.last_of).robust, model.robust)


def _not_vanishing(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        last = threat.curve[-1]
        searched = _at(attacks, last.eps, lambda one: one.attack["steps"] != 1)
        if searched and Fraction(last.eps) >= _all_grey(threat.norm, record.image):
            yield doubts.not_vanishing(last.robust, last.eps)


def _all_grey(norm: Norm, image: Image) -> Fraction:
    """Smallest budget by which every image can be made the same grey; of the other norms rounded up to whole ones."""
    pixels = image.height * image.width
    values = pixels * image.channels
    if norm == "linf":
        return doubts.HUGE_LINF
    if norm == "l2":
        return Fraction(math.ceil(doubts.HALF_RANGE * math.sqrt(values)))
    return Fraction(math.ceil(doubts.HALF_RANGE * values) if norm == "l1" else pixels)


def _black_box(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        free = _at(attacks, threat.eps, lambda one: one.attack["name"] == "square")
        gradient = _at(attacks, threat.eps, _iterated)
        if free and gradient:
            (name, least), (label, strongest) = _worst(free), _worst(gradient)
            yield doubts.black_box(least, strongest, _only(model, name, label), label)


def _only(model: ModelFigures, first: str, second: str) -> tuple[int, int]:
    """Rows that the first attack alone breaks, and the second alone, of these two."""
    for pair in model.agreement:
        if (pair.first, pair.second) == (first, second):
            return pair.only_first, pair.only_second
        if (pair.first, pair.second) == (second, first):
            return pair.only_second, pair.only_first
    return 0, 0


def _zero_gradients(model: ModelFigures, record: Evaluation) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        flagged = [(one.flags.get("zero_gradient", 0), one.label) for one in attacks if one.gradient]
        if flagged:
            rows, label = max(flagged, key=lambda pair: pair[0])
            yield doubts.zero_gradients(min(rows, threat.robust.rows), model.clean.rows, label)


def _iterated(attack: AttackFigures) -> bool:
    return attack.gradient and (attack.attack["steps"] or 0) > 1


def _changed(model: ModelFigures) -> int:
    """Most rows of an attack whose prediction another seed changes."""
    return max((one.flags.get("stochastic", 0) for one in model.attacks), default=0)


def _by_threat(model: ModelFigures) -> Iterator[tuple[ThreatFigures, list[AttackFigures]]]:
    """The threats, each with the attacks of its norm."""
    for threat in model.threats:
        yield threat, [one for one in model.attacks if one.attack["norm"] == threat.norm]


def _at(attacks: Sequence[AttackFigures], eps: str, wanted: Callable[[AttackFigures], bool]) -> list[tuple[str, Share]]:
    return [(one.label, point.robust) for one in attacks if wanted(one) for point in one.points if point.eps == eps]


def _worst(figures: Sequence[tuple[str, Share]]) -> tuple[str, Share]:
    return min(figures, key=lambda pair: pair[1].rows)


def _families(model: ModelFigures) -> dict[str, float]:
    """Accuracy under each family of changes but the first threat, which is the trained one."""
    threats = {f"{threat.norm} attacks at eps {threat.eps}": threat.robust.value for threat in model.threats[1:]}
    return threats | condition_means(model.conditions)


def _points(share: float) -> str:
    return f"{100 * share:g} points"


DOUBTS = (
    Doubt(
        "missing_classes",
        "the rows hold no row of some class; told once, with the first model",
        "no figure says anything of that class",
        _missing_classes,
        of_any=True,
    ),
    Doubt(
        AT_CHANCE,
        "clean accuracy within its interval no higher than that of its own predictions dealt to the rows at random; "
        "then nothing else is told of the model",
        "wrong order of classes, normalisation or weights, a model that learnt nothing, or too few rows",
        _at_chance,
        too_high=True,
        of_any=True,
    ),
    Doubt(
        "static_shard",
        f"accuracy on the adversarial rows of `trained_on` over {_points(doubts.STATIC_SHARD)} above robust "
        f"accuracy, and that below {doubts.STATIC_SHARE:g} of it",
        "the model knows those perturbations and withstands no new ones, or they never fooled it",
        _static_shard,
    ),
    Doubt(
        "fgsm_gap",
        f"accuracy under fgsm over {doubts.FGSM_OF_CLEAN:g} of clean accuracy and over {_points(doubts.FGSM_GAP)} "
        f"above that under the best attack of several steps, and that below {doubts.FGSM_SHARE:g} of it",
        "catastrophic overfitting to one-step examples, or masked gradients",
        _fgsm_gap,
    ),
    Doubt(
        "held_out",
        f"a further threat, the corruptions or the smallest shift gained less than {doubts.HELD_OUT_SHARE:g} of what "
        "the first threat gained over `hardened_from`, where that gained over "
        f"{_points(doubts.GAIN_WORTH_COMPARING)} and the baseline lost over {_points(doubts.GAIN_WORTH_COMPARING)} "
        "there",
        "hardened against one kind of change alone, or at the price of clean accuracy",
        _held_out,
    ),
    Doubt(
        "robust_overfitting",
        f"the model of `last_of` over {_points(doubts.ROBUST_OVERFITTING)} more robust",
        "training went on after robust accuracy had peaked, or with weaker examples",
        _robust_overfitting,
    ),
    Doubt(
        "not_vanishing",
        f"over {doubts.NOT_VANISHING:.0%} robust at the largest budget, if more than one step was tried there and "
        f"every image can be made the same grey within it (Linf: {doubts.HUGE_LINF})",
        "the attacks fail, not the adversary: masked gradients, or too few or too small steps",
        _not_vanishing,
        too_high=True,
    ),
    Doubt(
        "black_box",
        f"accuracy under square over {_points(doubts.BLACK_BOX_GAP)} below that under every attack of several steps by "
        "gradients, by more rows than chance explains of those that one of both breaks",
        "masked gradients, or too few or ill-sized steps",
        _black_box,
        too_high=True,
    ),
    Doubt(
        "zero_gradients",
        f"a gradient of zeros for half of an attack's steps, for over {doubts.ZERO_GRADIENTS:.0%} of the attacked "
        "rows, of those that no attack broke",
        "masked gradients, or an objective that saturates",
        _zero_gradients,
        too_high=True,
    ),
    Doubt(
        "by_chance",
        f"another seed changes the prediction of over {doubts.BY_CHANCE:.0%} of an attack's rows",
        "the model answers at random, so that verdicts are partly chance",
        _by_chance,
        too_high=True,
    ),
)
"""The warnings there are, in the order they are told."""
