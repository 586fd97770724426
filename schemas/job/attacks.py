"""The table of attacks: one declaration each. A row that combines existing pieces is a new attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType

from hardset.schemas.job.attack_declaration import AttackDeclaration, Paper, Part, StepShare
from hardset.schemas.norms import NORMS

MOST_TARGETS = 9
"""Number of classes that a targeted attack tries unless told otherwise, as AutoAttack does."""
FIRST_CODE = 2
"""Code version that every attack starts with; 1 was that of all attacks under row contract 1.0."""

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

_PGD = AttackDeclaration(
    summary="projected gradient descent from a random start",
    paper=Paper(
        "Madry, Makelov, Schmidt, Tsipras, Vladu",
        "Towards deep learning models resistant to adversarial attacks",
        "ICLR 2018",
    ),
    code=FIRST_CODE,
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
    chain=False,
)

_MOMENTUM = replace(
    _PGD,
    summary="iterative steps along an average of gradients, for transfer to other models",
    paper=Paper("Dong, Liao, Pang, Su, Zhu, Hu, Li", "Boosting adversarial attacks with momentum", "CVPR 2018"),
    norms=("linf", "l2"),
    schedule="momentum",
    step_size=StepShare(Fraction(1), per_step=True),
    random_start=False,
    step_rule=None,
    momentum=1.0,
)

_APGD = AttackDeclaration(
    summary="Auto-PGD on cross-entropy: a step that halves where progress stalls",
    paper=_CROCE,
    code=FIRST_CODE,
    code_in={"l1": 3},
    schedule="auto_pgd",
    steps=100,
    step_size=StepShare(Fraction(2), l1_factor=Fraction(1)),
    random_start=True,
    objective="cross_entropy",
)

_FAB = AttackDeclaration(
    summary="fast adaptive boundary: steps onto the linearised boundary, drawn towards the clean image",
    paper=Paper(
        "Croce, Hein", "Minimally distorted adversarial examples with a fast adaptive boundary attack", "ICML 2020"
    ),
    code=FIRST_CODE,
    loss="margin",
    schedule="boundary",
    minimal=True,
    chain=None,
    steps=100,
    random_start=False,
)

# AutoAttack spends 101 + 9 * 101 + 9 * 100 gradients and 5,000 queries on a row that survives it. Where gradients are
# masked, a search by scores finds the basin and a few gradients from there find its bottom: of 65 MNIST rows that
# resisted 30 steps of apgd_dlr, 1,000 queries broke 50, and 30 gradients from where they ended 10 more; gradients
# alone, 80 of them from any start, broke 15.
_ENSEMBLE = AttackDeclaration(
    summary="ensemble of AutoAttack's strength: attacks in turn, each on the rows that still resist",
    paper=_CROCE,
    code=FIRST_CODE,
    code_in={"l2": 3},
    norms=NORMS,
    parts=(
        Part("apgd_ce", 50, norms=("linf", "l2")),
        Part("apgd_ce", 100, norms=("l1",)),
        Part("fab", 100, norms=("l2", "l1")),
        Part("apgd_t", 30, targets=9),
        Part("fab_t", 100, targets=9, norms=("l2", "l1")),
        Part("square", 5000, norms=("linf", "l2")),
        Part("pma", 50, on=True, norms=("linf", "l2")),
        Part("sigma_zero", 100, norms=("l0",)),
        Part("sigma_zero", 1000, norms=("l0",)),
        Part("fmn", 30, norms=("l0",)),
    ),
    stop="success",
    restarts=None,
    targets=MOST_TARGETS,
    target=False,
)

ATTACKS: Mapping[str, AttackDeclaration] = MappingProxyType(
    {
        "fgsm": AttackDeclaration(
            summary="one step of the whole budget",
            paper=Paper("Goodfellow, Shlens, Szegedy", "Explaining and harnessing adversarial examples", "ICLR 2015"),
            code=FIRST_CODE,
            steps=1,
            step_size=StepShare(Fraction(1)),
            random_start=False,
            objective="cross_entropy",
            chain=False,
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
            loss="dlr",
            objective=None,
        ),
        "apgd_t": replace(
            _APGD,
            summary="Auto-PGD on the targeted DLR, 100 steps towards each of the most likely wrong classes",
            loss="dlr",
            towards=True,
            objective=None,
            targets=MOST_TARGETS,
        ),
        # Each restart is two passes: one lifts the best wrong class first, the other lowers the label first.
        "pma": AttackDeclaration(
            summary="probability margin attack: two passes of 100 steps with a cosine step, near AutoAttack's strength",
            paper=_XIE,
            code=FIRST_CODE,
            norms=("linf", "l2"),
            loss="probability_margin_in_turns",
            loss_going_on="probability_margin",
            schedule="cosine",
            turns=2,
            steps=100,
            step_size=StepShare(Fraction(2)),
            random_start=True,
        ),
        "square": AttackDeclaration(
            summary="random search with squares that needs the model's outputs alone; its steps are queries",
            paper=Paper(
                "Andriushchenko, Croce, Flammarion, Hein",
                "Square attack: a query-efficient black-box adversarial attack via random search",
                "ECCV 2020",
            ),
            code=FIRST_CODE,
            norms=("linf", "l2"),
            loss="margin",
            schedule="square",
            gradient=False,
            steps=5000,
            eot=False,
        ),
        "fmn": AttackDeclaration(
            summary="fast minimum norm: the smallest change that fools, at most eps",
            paper=Paper(
                "Pintor, Roli, Brendel, Biggio",
                "Fast minimum-norm adversarial attacks through adaptive norm constraints",
                "NeurIPS 2021",
            ),
            code=FIRST_CODE,
            code_in={"l2": 3, "l1": 3},
            norms=NORMS,
            loss="margin",
            schedule="fast_minimum_norm",
            minimal=True,
            chain=None,
            steps=100,
            restarts=None,
        ),
        "ddn": AttackDeclaration(
            summary="decoupled direction and norm: the smallest L2 change that fools, at most eps",
            paper=Paper(
                "Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger",
                "Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and defenses",
                "CVPR 2019",
            ),
            code=FIRST_CODE,
            norms=("l2",),
            schedule="decoupled_norm",
            minimal=True,
            chain=None,
            steps=100,
            restarts=None,
        ),
        "sigma_zero": AttackDeclaration(
            summary="the fewest pixels that fool, at most eps, by a smooth count of those that change",
            paper=Paper(
                "Cina, Villani, Pintor, Schonherr, Biggio, Pelillo",
                "Sigma-zero: gradient-based optimization of l0-norm adversarial examples",
                "ICLR 2025",
            ),
            code=FIRST_CODE,
            norms=("l0",),
            loss="margin",
            schedule="smooth_count",
            minimal=True,
            chain=None,
            steps=100,
            restarts=None,
        ),
        "fab": _FAB,
        "fab_t": replace(
            _FAB,
            summary="fab towards each of the most likely wrong classes, 100 steps each",
            towards=True,
            targets=MOST_TARGETS,
        ),
        "standard": _ENSEMBLE,
        "fast": replace(
            _ENSEMBLE,
            summary="ensemble close to standard, at a fraction of its cost",
            paper=_XIE,
            parts=(
                Part("pma", 10, norms=("linf", "l2")),
                Part("apgd_ce", 50, norms=("l1",)),
                Part("square", 1000, norms=("linf", "l2")),
                Part("pma", 30, on=True, norms=("linf", "l2")),
                Part("fab", 100, norms=("l2", "l1")),
                Part("apgd_t", 9, targets=5, norms=("linf", "l2")),
                Part("apgd_t", 20, targets=5, norms=("l1",)),
                Part("sigma_zero", 200, norms=("l0",)),
                Part("fmn", 30, norms=("l0",)),
            ),
            targets=5,
        ),
    }
)
"""Every attack, simplest first, ensembles last."""


def takers(setting: str) -> tuple[str, ...]:
    """The attacks of the table that take a setting of the job file."""
    return tuple(name for name, attack in ATTACKS.items() if attack.takes(setting))
