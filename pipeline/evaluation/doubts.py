"""Warnings that cast doubt on figures, each with cause and remedy. Pure functions from shares to a sentence, or None.

Thresholds are shares in [0, 1], with their reasons beside them. Hardening rounds use the same functions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import Cell, Share

STATIC_SHARD = 0.30
"""Accuracy on the own shard minus white-box accuracy. On the digits, models that regenerate their shards show 8 to 28
points and those of one static round 90."""
STATIC_SHARE = 0.5
"""White-box accuracy must also be below this share of shard accuracy: a robust model classifies nearly all rows of an
old shard correctly, since they were made against a weaker one, and still withstands two thirds of fresh ones."""
FGSM_GAP = 0.10
"""FGSM accuracy minus accuracy under an iterated attack. Adversarially trained models show 1 to 5 points, catastrophic
overfitting (Wong et al. 2020, arXiv:2001.03994) tens."""
FGSM_SHARE = 0.5
"""Iterated accuracy must also be below this share of FGSM accuracy: a curved loss alone brings undefended models of the
digits to 11 points, and they keep 0.7."""
FGSM_OF_CLEAN = 0.5
"""FGSM accuracy must also be above this share of clean accuracy. A model that was overfitted to one step withstands
that step nearly as if there were none; an undefended one falls to it, only not as far as to many steps."""
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
HALF_RANGE = 0.5
"""The same in the other norms: the change of every value by half of the range, of all pixels in L0."""
BLACK_BOX_GAP = 0.005
"""Accuracy under gradient attacks minus accuracy under a gradient-free attack. AutoAttack (arXiv:2003.01690) warns at
0.002 of the rows that its gradient attacks leave; here whole accuracies are compared."""
ONE_SIDED = 1.645
"""Deviations that a difference of paired rows must exceed, one-sided at 5 %: each of two attacks breaks some rows that
the other does not, and of those as many by chance."""
ZERO_GRADIENTS = 0.01
"""Share of the attacked rows, as in the warnings of a run (`pipeline.judging.masking`). Rows that fell to any attack do
not count: nothing was missed there."""
FEW_ROWS = 100
"""Number of rows below which more of them is the first thing to try."""
BY_CHANCE = 0.01
"""Share of the attacked rows whose prediction another seed changes. Below it, chance moves no figure by a point."""


def at_chance(clean: Share, confusion: Sequence[Cell]) -> str | None:
    """Warns if clean accuracy cannot be told from that of predictions that know nothing of the image.

    `confusion`: number of rows by label and prediction. Chance is the share of rows that would be right if predictions
    of these frequencies were dealt to the rows at random, as in Cohen's kappa. Silent where all rows are of one class,
    where that says nothing.
    """
    labels, preds = Counter[int](), Counter[int]()
    for cell in confusion:
        labels[cell.label] += cell.rows
        preds[cell.pred] += cell.rows
    if len(labels) < 2 or not clean.of:
        return None
    chance = sum(rows * preds[label] for label, rows in labels.items()) / clean.of**2
    if clean.low > chance:
        return None
    return (
        f"it has {_percent(clean)} of the clean rows right, and its predictions dealt out at random would have "
        f"{100 * chance:.1f} %: it tells no classes apart here, so that no figure means anything; if it is known to be "
        "better, look at the order of the classes, the normalisation, the range of the pixels and the weights "
        f"(`hardset init --data` tries them){_or_few(clean)}"
    )


def by_chance(flagged: int, attacked: int) -> str | None:
    """Warns about a model whose predictions of the stored images change with the seed."""
    if flagged <= BY_CHANCE * attacked:
        return None
    return (
        f"it answers at random, and changed its mind about {flagged:,} of {attacked:,} attacked rows under another "
        "seed: a row's verdict is partly chance, and an attack that asks often finds lucky draws; raise eot until "
        "figures stay the same, and tell the spread over several seeds"
    )


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
    if not above(shard, robust):
        return None
    return (
        f"it has {_percent(shard)} of the adversarial rows of {dataset} right, but only {_percent(robust)} under a "
        "fresh attack: it learnt those perturbations and not to withstand new ones, or they were made against another "
        "model and never fooled this one; regenerate the shards against the current weights, round by round (`hardset "
        "harden`), or train with pgd_at or trades"
    )


def fgsm_gap(fgsm: Share, iterated: Share, clean: Share, attack: str) -> str | None:
    """Warns if the model withstands one step as if trained on it, and many steps at the same budget far less."""
    if fgsm.value - iterated.value <= FGSM_GAP or iterated.value >= FGSM_SHARE * fgsm.value:
        return None
    if fgsm.value <= FGSM_OF_CLEAN * clean.value or not above(fgsm, iterated):
        return None
    return (
        f"fgsm leaves {_percent(fgsm)} of {_percent(clean)}, and {attack} {_percent(iterated)}: it withstands one step "
        "and not many, as after training on one-step examples alone (catastrophic overfitting), or, if it never was "
        "trained on any, because its first gradient is small or misleads (masking); do not quote the fgsm figure, and "
        "train with several steps, or with fgsm_rs from a random start and an eye on pgd accuracy"
    )


def held_out_family(family: str, gain: float, trained: float) -> str | None:
    """Warns if `family` gained little. `gain`, `trained`: gains over the baseline of it and of the trained family."""
    if trained <= GAIN_WORTH_COMPARING or gain >= HELD_OUT_SHARE * trained:
        return None
    return (
        f"it gained {100 * trained:.1f} points on what it was trained on, and {100 * gain:+.1f} points under "
        f"{family}: it is hardened against one kind of change alone, or paid there with the clean accuracy that it "
        f"lost; add {family} to what it is trained on, or say what the robustness is good for"
    )


def robust_overfitting(best: Share, last: Share) -> str | None:
    """Warns if the last checkpoint is less robust than the `best` one, which was chosen by validation."""
    if best.value - last.value <= ROBUST_OVERFITTING or not above(best, last):
        return None
    return (
        f"the last checkpoint withstands {_percent(last)} and the best one {_percent(best)}: training went on after "
        "robust accuracy had peaked (robust overfitting), or went on with weaker examples; keep the best checkpoint, "
        "stop earlier, or average the weights"
    )


def not_vanishing(robust: Share, eps: str) -> str | None:
    """Warns if robust accuracy remains at a budget at which no images can be told apart."""
    if robust.value <= NOT_VANISHING:
        return None
    return (
        f"{_percent(robust)} are left at eps {eps}, where every image can be made the same grey: the attacks fail, not "
        "the adversary, so the figures at smaller budgets are too high as well, because gradients mislead or because "
        "steps are few or small; look for layers that round, saturate or draw at random, and attack with square, and "
        "with more steps and restarts"
    )


def black_box(free: Share, gradient: Share, only: tuple[int, int], attack: str) -> str | None:
    """Warns if a gradient-free attack leaves less accuracy than the best gradient attack, beyond chance.

    `only`: rows that the gradient-free attack alone breaks, and that the gradient attack alone breaks.
    """
    ahead = only[0] - only[1]
    if gradient.value - free.value <= BLACK_BOX_GAP or ahead <= ONE_SIDED * math.sqrt(sum(only)):
        return None
    return (
        f"square, which uses no gradients, leaves {_percent(free)}, and {attack} {_percent(gradient)}: the gradients "
        "mislead (masking), or the steps were few or ill-sized, so that figures of gradient attacks are too high; take "
        "the worst of both, try apgd_dlr or more steps and restarts, and look for layers that round or saturate"
    )


def zero_gradients(standing: int, attacked: int, attack: str) -> str | None:
    """Warns about rows that withstood all attacks, with a gradient of zero for at least half of an attack's steps."""
    if standing <= ZERO_GRADIENTS * attacked:
        return None
    return (
        f"the gradient of {attack} was zero for half or more of the steps of {standing:,} of {attacked:,} rows "
        f"({standing / attacked:.1%}) that nothing broke, which were hardly attacked: a layer rounds or saturates, or "
        "the logits are so far apart that the loss is exactly 0; use apgd_dlr or pma, whose objectives do not "
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


def above(first: Share, second: Share) -> bool:
    """Whether `first` is above `second` beyond what few rows explain, by Newcombe's interval of the difference.

    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I, method 10. The same rows, as most
    shares here have, vary less than different ones, so that it errs on the side of silence.
    """
    room = math.hypot(first.value - first.low, second.high - second.value)
    return first.value - second.value > room


def _or_few(clean: Share) -> str:
    return f", or take more than {clean.of:,} rows" if clean.of < FEW_ROWS else ""


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"
