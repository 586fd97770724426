"""The training methods: one declaration each. `pipeline.training.methods` binds each to its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_declaration import AttackDeclaration, Paper
from hardset.schemas.job.attacks import ATTACKS


@dataclass(frozen=True)
class MethodDeclaration:
    """One way to train: what a batch holds, how it is attacked, which settings it takes, and where it comes from."""

    batch: str
    """Content of a batch, in a line."""
    minimises: str
    """Loss, in a line."""
    paper: Paper | None = None
    """None: it has not been published."""
    code: int | None = None
    """Code version, raised when it begins to give other weights. None, for methods from elsewhere alone: the digest of
    the distribution or of the source files that declare it."""
    made_rows: bool = False
    """Whether it trains on the rows that generate made, mixed by `train.mix`, and not on clean rows."""
    away_from: Literal["label", "answer"] | None = None
    """Answer that batches are attacked away from: the label, or the model's own on the clean row. None: no attack."""
    attack: Literal["fgsm", "pgd"] = "pgd"
    """The attack where the job names none."""
    random_start: bool | None = None
    """Whether an attack that does not say starts at random. None: as the attack's own default has it."""
    step_share: Fraction | None = None
    """Length of an unset step of `attack`, as a share of eps. None: as the attack's own default has it."""
    beta: float | None = None
    """Weight of the robust term unless `train.beta` is set. None: it has no such term."""
    settings: type[Spec] | None = None
    """Settings of its own, which a job gives under `train.settings`. None: it has none."""

    @property
    def on_the_fly(self) -> bool:
        """Whether it attacks every batch before it trains on it."""
        return self.away_from is not None


METHODS: Mapping[str, MethodDeclaration] = MappingProxyType(
    {
        "shards": MethodDeclaration(
            batch="rows made by generate, mixed by `train.mix`",
            minimises="cross-entropy",
            code=1,
            made_rows=True,
        ),
        "standard": MethodDeclaration(batch="clean rows", minimises="cross-entropy", code=1),
        "fgsm_rs": MethodDeclaration(
            batch="clean rows, attacked by one step from a random start",
            minimises="cross-entropy on the attacked rows",
            paper=Paper("Wong, Rice, Kolter", "Fast is better than free: revisiting adversarial training", "ICLR 2020"),
            code=1,
            away_from="label",
            attack="fgsm",
            random_start=True,
            step_share=Fraction(5, 4),
        ),
        "pgd_at": MethodDeclaration(
            batch="clean rows, attacked by PGD",
            minimises="cross-entropy on the attacked rows",
            paper=ATTACKS["pgd"].paper,
            code=1,
            away_from="label",
        ),
        "trades": MethodDeclaration(
            batch="clean rows, attacked away from the model's own answer",
            minimises="cross-entropy + beta * divergence",
            paper=Paper(
                "Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan",
                "Theoretically principled trade-off between robustness and accuracy",
                "ICML 2019",
            ),
            code=1,
            away_from="answer",
            random_start=True,  # at the clean row itself the divergence has no slope
            beta=6.0,
        ),
        "mart": MethodDeclaration(
            batch="clean rows, attacked by PGD",
            minimises="boosted cross-entropy + beta * weighted divergence",
            paper=Paper(
                "Wang, Zou, Yi, Bailey, Ma, Gu",
                "Improving adversarial robustness requires revisiting misclassified examples",
                "ICLR 2020",
            ),
            code=1,
            away_from="label",
            beta=5.0,
        ),
    }
)
"""The methods of hardset by the name that a job gives."""


def _suits_batches(attack: AttackDeclaration) -> bool:
    walks = attack.gradient and attack.schedule in ("fixed", "momentum") and not attack.parts
    shown = attack.diversity or attack.nesterov or (attack.translation or 1) > 1 or (attack.scales or 1) > 1
    return walks and not shown


INNER_ATTACKS: tuple[str, ...] = tuple(name for name, attack in ATTACKS.items() if _suits_batches(attack))
"""Attacks whose last iterate is their result, and which show the model the image as it is: fit for every batch."""


def method_table() -> str:
    """Markdown: one line per method."""
    lines = ["| `train.method` | a batch holds | loss | `beta` | paper |", "|---|---|---|---|---|"]
    for name, method in METHODS.items():
        beta = "-" if method.beta is None else f"{method.beta:g}"
        paper = "-" if method.paper is None else method.paper.short
        lines.append(f"| `{name}` | {method.batch} | {method.minimises} | {beta} | {paper} |")
    return "\n".join(lines) + "\n"


def named(holds: Callable[[MethodDeclaration], bool]) -> list[str]:
    """Names of the methods for which `holds` is true."""
    return [name for name, method in METHODS.items() if holds(method)]
