"""Warnings that cast doubt on figures, each with cause and remedy. Pure functions from shares to a sentence, or None.

Thresholds are shares in [0, 1], with their reasons beside them. Hardening rounds use the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import Share

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


def missing_classes(support: Sequence[int]) -> str | None:
    """Warns if there are classes without a row. `support`: number of rows by class."""
    there = sum(rows > 0 for rows in support)
    if there == len(support):
        return None
    missing = [str(label) for label, rows in enumerate(support) if not rows]
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    return (
        f"the rows hold {there} of {len(support)} classes, none of {shown}: figures over them say nothing of those; "
        f"take a sample of all classes with source.limit: {{rows: {sum(support)}, by: class}}, or more rows"
    )


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


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"
