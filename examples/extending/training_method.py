"""A training method of one's own: ALP, adversarial logit pairing (Kannan et al. 2018, https://arxiv.org/abs/1803.06373).

In a job file, for `hardset harden`:

    train: {method: "training_method:ALP", beta: 0.5, settings: {clean: 0.25}}
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from hardset.extending import Batch, Method, MethodDeclaration, Paper, Scores, Spec, Weighing


class Settings(Spec):
    """Settings of its own, typed and checked like those of the job file."""

    clean: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the cross-entropy that is taken on clean rows."""


def loss(ask: Scores, batch: Batch, weighing: Weighing) -> tuple[Tensor, Tensor]:
    """Cross-entropy on clean and attacked rows, and beta times the squared distance of their logits; one per row."""
    clean, adversarial = ask(batch.clean).float(), ask(batch.adversarial).float()
    on_clean, on_adversarial = (
        F.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=weighing.smoothing)
        for logits in (clean, adversarial)
    )
    share = weighing.settings.clean
    paired = (clean - adversarial).square().mean(dim=1)
    return share * on_clean + (1 - share) * on_adversarial + weighing.beta * paired, adversarial


ALP = Method(
    MethodDeclaration(
        batch="clean rows, attacked by PGD",
        minimises="cross-entropy on both + beta * squared distance of their logits",
        paper=Paper("Kannan, Kurakin, Goodfellow", "Adversarial logit pairing", "arXiv 2018"),
        code=1,
        away_from="label",
        beta=0.5,
        settings=Settings,
    ),
    loss,
)
