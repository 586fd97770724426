"""Warnings that cast doubt on figures, each with cause and remedy. Pure functions from shares to a sentence, or None.

Thresholds are shares in [0, 1], with their reasons beside them. Hardening rounds use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from hardset.pipeline.evaluation.figures import condition_means
from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import AttackFigures, Evaluation, Finding, ModelFigures, Share, ThreatFigures

STATIC_SHARD = 0.30
"""Accuracy on the own shard minus white-box accuracy. On the digits, models that regenerate their shards show 8 to 28
points and those of one static round 90."""
STATIC_SHARE = 0.5
"""White-box accuracy must also be below this share of shard accuracy: a robust model classifies nearly all rows of an
old shard correctly, since they were made against a weaker one, and still withstands two thirds of fresh ones."""
FGSM_GAP = 0.10
"""FGSM accuracy minus accuracy under an iterated attack. Adversarially trained models show 1 to 5 points, catastrophic
overfitting (Wong et al. 2020, arXiv:2001.03994) tens. A curved loss alone brings undefended models of the digits to 11
points, so iterated accuracy must also be below `FGSM_SHARE` of FGSM accuracy, of which such models keep 0.7."""
FGSM_SHARE = 0.5
HELD_OUT_SHARE = 0.25
"""Minimum gain of a held-out family as a share of the trained family's gain (Tramer & Boneh 2019, arXiv:1904.13000:
robustness to one perturbation does not carry over by itself)."""
GAIN_WORTH_COMPARING = 0.10
"""Minimum gain on the trained family, and minimum loss of the baseline under the held-out family, for a comparison."""
ROBUST_OVERFITTING = 0.05
"""Robust accuracy of the best minus the last checkpoint. Rice et al. 2020 (arXiv:2002.11569) lost 7 to 8 points; seeds
differ by 1 to 3."""
NOT_VANISHING = 0.02
"""Accuracy at a budget at which an adversary may do nearly anything. A working gradient attack leaves nothing; a few
rows in a thousand may be stuck in a flat region."""
HUGE_LINF = Fraction(128, 255)
"""Linf budget from which every image can be turned into the same grey, so that no model can tell images apart."""
HUGE_FACTOR = 8
"""Multiple of the threat's budget from which an L2 or L1 adversary may do nearly anything."""
BLACK_BOX_GAP = 0.005
"""Accuracy under gradient attacks minus accuracy under a gradient-free attack. AutoAttack (arXiv:2003.01690) warns at
0.002 of the rows that its gradient attacks leave; here whole accuracies are compared, where one row in a few hundred
is no reason to warn."""
ZERO_GRADIENTS = 0.01
"""Share of the attacked rows, as in the warnings of a run (`pipeline.judging.masking`)."""


def warnings_of(record: Evaluation) -> tuple[Finding, ...]:
    """All warnings of an evaluation, model by model."""
    models = {model.name: model for model in record.models}
    return tuple(
        Finding(kind=kind, model=model.name, text=text)
        for model in record.models
        for kind, text in _of_model(model, models)
    )


def _of_model(model: ModelFigures, models: Mapping[str, ModelFigures]) -> Iterator[tuple[str, str]]:
    for shard in model.shards:
        yield from _told("static_shard", static_shard(shard.right, model.robust, shard.dataset))
    for threat in model.threats:
        attacks = [one for one in model.attacks if one.attack["norm"] == threat.norm]
        yield from _told("fgsm_gap", _fgsm_gap(attacks, threat))
        yield from _told("not_vanishing", _not_vanishing(threat))
        yield from _told("black_box", _black_box(attacks, threat))
        for attack in attacks:
            flagged, of = attack.flags.get("zero_gradient", 0), model.clean.rows
            yield from _told("zero_gradients", zero_gradients(flagged, of, attack.label) if attack.gradient else None)
    if model.hardened_from is not None:
        yield from (("held_out", text) for text in _held_out(model, models[model.hardened_from]))
    if model.last_of is not None:
        best = models[model.last_of]
        yield from _told("robust_overfitting", robust_overfitting(best.robust, model.robust))


def _told(kind: str, text: str | None) -> Iterator[tuple[str, str]]:
    if text is not None:
        yield kind, text


def static_shard(shard: Share, robust: Share, dataset: str) -> str | None:
    """Warns if accuracy on the model's own shard is far above accuracy under a fresh attack."""
    if not shard.of or shard.value - robust.value <= STATIC_SHARD or robust.value >= STATIC_SHARE * shard.value:
        return None
    return (
        f"it has {_percent(shard)} of the adversarial rows of {dataset} right, but only {_percent(robust)} under a "
        "fresh attack: it learnt those perturbations and not to withstand new ones; regenerate the shards against the "
        "current weights, round by round (`hardset harden`), or train with pgd_at or trades"
    )


def fgsm_gap(fgsm: Share, iterated: Share, attack: str) -> str | None:
    """Warns if accuracy under one step is far above accuracy under many, at the same budget."""
    if fgsm.value - iterated.value <= FGSM_GAP or iterated.value >= FGSM_SHARE * fgsm.value:
        return None
    return (
        f"fgsm leaves {_percent(fgsm)} and {attack} {_percent(iterated)}: one step misses what many find, as after "
        "training on one-step examples alone (catastrophic overfitting); do not quote the fgsm figure, and train with "
        "several steps, or with fgsm_rs from a random start and an eye on pgd accuracy"
    )


def held_out_family(family: str, gain: float, trained: float) -> str | None:
    """Warns if `family` gained little. `gain`, `trained`: gains over the baseline of it and of the trained family."""
    if trained <= GAIN_WORTH_COMPARING or gain >= HELD_OUT_SHARE * trained:
        return None
    return (
        f"it gained {100 * trained:.1f} points on what it was trained on, and {100 * gain:+.1f} points under "
        f"{family}: it is hardened against one kind of change alone; add {family} to what it is trained on, or say "
        "what the robustness is good for"
    )


def robust_overfitting(best: Share, last: Share) -> str | None:
    """Warns if the last checkpoint is less robust than the `best` one, which was chosen by validation."""
    if best.value - last.value <= ROBUST_OVERFITTING:
        return None
    return (
        f"the last checkpoint withstands {_percent(last)} and the best one {_percent(best)}: training went on after "
        "robust accuracy had peaked (robust overfitting); keep the best checkpoint, stop earlier, or average the "
        "weights"
    )


def not_vanishing(robust: Share, eps: str) -> str | None:
    """Warns if robust accuracy remains at a budget at which no images can be told apart."""
    if robust.value <= NOT_VANISHING:
        return None
    return (
        f"{_percent(robust)} are left at eps {eps}, where an adversary may do nearly anything: the attacks fail, not "
        "the adversary, so the figures at smaller budgets are too high as well; look for layers that round, saturate "
        "or draw at random, and attack with square, and with more steps and restarts"
    )


def black_box(free: Share, gradient: Share, attack: str) -> str | None:
    """Warns if a gradient-free attack leaves less accuracy than the best gradient attack."""
    if gradient.value - free.value <= BLACK_BOX_GAP or gradient.rows - free.rows < 2:
        return None
    return (
        f"square, which uses no gradients, leaves {_percent(free)}, and {attack} {_percent(gradient)}: the gradients "
        "mislead (masking), so that figures of gradient attacks are too high; take the worst of both, and look for "
        "layers that round or saturate"
    )


def zero_gradients(flagged: int, attacked: int, attack: str) -> str | None:
    """Warns about rows whose gradient was zero for at least half of the steps."""
    if flagged <= ZERO_GRADIENTS * attacked:
        return None
    return (
        f"the gradient of {attack} was zero for half or more of the steps of {flagged:,} of {attacked:,} rows "
        f"({flagged / attacked:.1%}), which were hardly attacked; use apgd_dlr or pma, whose objectives do not "
        "saturate, or square, which needs no gradients"
    )


def check_leaks(evaluated: Mapping[str, str], trained: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Raises JobError if an evaluated row is the parent of a training row, since every figure would flatter the model.

    `evaluated`: source keys by SHA-256 of the clean pixels; `trained`: name and parents of each training dataset, in
    the same form.
    """
    for name, parents in trained:
        shared = [(key, parents[sha256]) for sha256, key in evaluated.items() if sha256 in parents]
        if shared:
            here, there = shared[0]
            raise JobError(
                f"source: {len(shared):,} of {len(evaluated):,} evaluated rows are parents of training rows in {name}, "
                f"such as {here} ({there} there): the model has seen them, and no figure would mean anything; evaluate "
                "on another split (source.splits), or generate the training rows from the train split alone"
            )


def _fgsm_gap(attacks: Sequence[AttackFigures], threat: ThreatFigures) -> str | None:
    single = _at(attacks, threat.eps, lambda one: one.attack["name"] == "fgsm")
    iterated = _at(attacks, threat.eps, lambda one: one.gradient and (one.attack["steps"] or 0) > 1)
    if not single or not iterated:
        return None
    _, fgsm = min(single, key=lambda pair: pair[1].rows)
    label, strongest = min(iterated, key=lambda pair: pair[1].rows)
    return fgsm_gap(fgsm, strongest, label)


def _black_box(attacks: Sequence[AttackFigures], threat: ThreatFigures) -> str | None:
    free = _at(attacks, threat.eps, lambda one: one.attack["name"] == "square")
    gradient = _at(attacks, threat.eps, lambda one: one.gradient)
    if not free or not gradient:
        return None
    label, strongest = min(gradient, key=lambda pair: pair[1].rows)
    return black_box(min(free, key=lambda pair: pair[1].rows)[1], strongest, label)


def _at(attacks: Sequence[AttackFigures], eps: str, wanted: Callable[[AttackFigures], bool]) -> list[tuple[str, Share]]:
    return [(one.label, point.robust) for one in attacks if wanted(one) for point in one.points if point.eps == eps]


def _not_vanishing(threat: ThreatFigures) -> str | None:
    last, eps = threat.curve[-1], Fraction(threat.eps)
    huge = HUGE_LINF if threat.norm == "linf" else HUGE_FACTOR * eps
    return not_vanishing(last.robust, last.eps) if Fraction(last.eps) >= huge else None


def _held_out(model: ModelFigures, baseline: ModelFigures) -> Iterator[str]:
    trained = model.robust.value - baseline.robust.value
    before, after = (_families(one) for one in (baseline, model))
    for family, accuracy in before.items():
        if family in after and baseline.clean.value - accuracy > GAIN_WORTH_COMPARING:
            text = held_out_family(family, after[family] - accuracy, trained)
            if text is not None:
                yield text


def _families(model: ModelFigures) -> dict[str, float]:
    """Accuracy under each family of changes but the first threat, which is the trained one."""
    threats = {f"{threat.norm} attacks at eps {threat.eps}": threat.robust.value for threat in model.threats[1:]}
    return threats | condition_means(model.conditions)


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"
