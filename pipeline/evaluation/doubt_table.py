"""The warnings of an evaluation: one declaration each, of what is told, when, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hardset.pipeline.evaluation import doubts
from hardset.pipeline.evaluation.figures import condition_means
from hardset.schemas.records.evaluation import AttackFigures, Evaluation, Finding, ModelFigures, Share, ThreatFigures

Models = Mapping[str, ModelFigures]


@dataclass(frozen=True)
class Doubt:
    """One warning."""

    kind: str
    """Name in records."""
    given: str
    """When it is given, in a line."""
    meaning: str
    """What it means, in a line."""
    found: Callable[[ModelFigures, Models], Iterator[str | None]]
    """(model, all models by name) -> a sentence for each thing that was looked at; None where there is no doubt."""


def warnings_of(record: Evaluation) -> tuple[Finding, ...]:
    """All warnings of an evaluation, model by model."""
    models = {model.name: model for model in record.models}
    return tuple(
        Finding(kind=doubt.kind, model=model.name, text=text)
        for model in record.models
        for doubt in DOUBTS
        for text in doubt.found(model, models)
        if text is not None
    )


def _missing_classes(model: ModelFigures, models: Models) -> Iterator[str | None]:
    if model is next(iter(models.values())):
        yield doubts.missing_classes([one.support for one in model.classes])


def _static_shard(model: ModelFigures, models: Models) -> Iterator[str | None]:
    for shard in model.shards:
        yield doubts.static_shard(shard.right, model.robust, shard.dataset)


def _fgsm_gap(model: ModelFigures, models: Models) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        single = _at(attacks, threat.eps, lambda one: one.attack["name"] == "fgsm")
        iterated = _at(attacks, threat.eps, lambda one: one.gradient and (one.attack["steps"] or 0) > 1)
        if single and iterated:
            label, strongest = _worst(iterated)
            yield doubts.fgsm_gap(_worst(single)[1], strongest, label)


def _held_out(model: ModelFigures, models: Models) -> Iterator[str | None]:
    if model.hardened_from is None:
        return
    baseline = models[model.hardened_from]
    trained = model.robust.value - baseline.robust.value
    before, after = (_families(one) for one in (baseline, model))
    for family, accuracy in before.items():
        if family in after and baseline.clean.value - accuracy > doubts.GAIN_WORTH_COMPARING:
            yield doubts.held_out_family(family, after[family] - accuracy, trained)


def _robust_overfitting(model: ModelFigures, models: Models) -> Iterator[str | None]:
    if model.last_of is not None:
        yield doubts.robust_overfitting(models[model.last_of].robust, model.robust)


def _not_vanishing(model: ModelFigures, models: Models) -> Iterator[str | None]:
    for threat in model.threats:
        last, eps = threat.curve[-1], Fraction(threat.eps)
        huge = doubts.HUGE_LINF if threat.norm == "linf" else doubts.HUGE_FACTOR * eps
        if Fraction(last.eps) >= huge:
            yield doubts.not_vanishing(last.robust, last.eps)


def _black_box(model: ModelFigures, models: Models) -> Iterator[str | None]:
    for threat, attacks in _by_threat(model):
        free = _at(attacks, threat.eps, lambda one: one.attack["name"] == "square")
        gradient = _at(attacks, threat.eps, lambda one: one.gradient)
        if free and gradient:
            label, strongest = _worst(gradient)
            yield doubts.black_box(_worst(free)[1], strongest, label)


def _zero_gradients(model: ModelFigures, models: Models) -> Iterator[str | None]:
    for _, attacks in _by_threat(model):
        for attack in attacks:
            if attack.gradient:
                yield doubts.zero_gradients(attack.flags.get("zero_gradient", 0), model.clean.rows, attack.label)


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
    ),
    Doubt(
        "static_shard",
        f"accuracy on the adversarial rows of `trained_on` over {_points(doubts.STATIC_SHARD)} above robust "
        f"accuracy, and that below {doubts.STATIC_SHARE:g} of it",
        "the model knows those perturbations and withstands no new ones",
        _static_shard,
    ),
    Doubt(
        "fgsm_gap",
        f"accuracy under fgsm over {_points(doubts.FGSM_GAP)} above that under the best attack of several steps, and "
        f"that below {doubts.FGSM_SHARE:g} of it",
        "catastrophic overfitting to one-step examples",
        _fgsm_gap,
    ),
    Doubt(
        "held_out",
        f"a further threat, the corruptions or the smallest shift gained less than {doubts.HELD_OUT_SHARE:g} of what "
        "the first threat gained over `hardened_from`, where that gained over "
        f"{_points(doubts.GAIN_WORTH_COMPARING)} and the baseline lost over {_points(doubts.GAIN_WORTH_COMPARING)} "
        "there",
        "hardened against one kind of change alone",
        _held_out,
    ),
    Doubt(
        "robust_overfitting",
        f"the model of `last_of` over {_points(doubts.ROBUST_OVERFITTING)} more robust",
        "training went on after robust accuracy had peaked",
        _robust_overfitting,
    ),
    Doubt(
        "not_vanishing",
        f"over {doubts.NOT_VANISHING:.0%} robust at the largest budget, if that is {doubts.HUGE_LINF} or more (L2, "
        f"L1: {doubts.HUGE_FACTOR} times the threat's)",
        "masked gradients: the attacks fail, not the adversary",
        _not_vanishing,
    ),
    Doubt(
        "black_box",
        f"accuracy under square over {_points(doubts.BLACK_BOX_GAP)}, and two rows, below that under every attack by "
        "gradients",
        "masked gradients",
        _black_box,
    ),
    Doubt(
        "zero_gradients",
        f"a gradient of zeros for half of the steps of over {doubts.ZERO_GRADIENTS:.0%} of the attacked rows",
        "masked gradients, or an objective that saturates",
        _zero_gradients,
    ),
)
"""The warnings there are, in the order they are told."""
