"""How often a model is right on clean rows, and why that is so seldom where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.judging.judge import Classes, Floats, Judge, Mask
from hardset.pipeline.models.diagnosis import findings
from hardset.pipeline.models.finding import Finding
from hardset.pipeline.models.loading import LoadedModel
from hardset.schemas.errors import UserError
from hardset.schemas.job.network import Network
from hardset.schemas.records.clean import CleanAccuracy


def clean_accuracy(
    model: LoadedModel, networks: Sequence[Network], judge: Judge, pixels: Pixels, labels: Classes
) -> CleanAccuracy | None:
    """The model's accuracy on rows, with a sentence for what explains it where it is low; None without any row.

    All as of `diagnosed`.
    """
    found = diagnosed(model, networks, judge, pixels, labels)
    return None if found is None else found[0]


def diagnosed(
    model: LoadedModel, networks: Sequence[Network], judge: Judge, pixels: Pixels, labels: Classes
) -> tuple[CleanAccuracy, tuple[Finding, ...]] | None:
    """The model's accuracy on rows, uint8 (N, H, W, C), with labels (N,), as the judge sees them, and what explains it.

    `networks`: the sections of the job that the model, or its members, were made from. Where the model errs, each is
    looked at for what it may be fed or numbered wrongly. Batches with a row on which the model fails are left out: the
    run finds and names such rows. None where no row is left.
    """

    def ask(module: nn.Module, rows: Pixels) -> Floats:
        return replace(judge, module=module).logits(rows)

    logits, kept = _answered(judge, pixels)
    pixels, labels = pixels[kept], labels[kept]
    if not len(labels):
        return None
    right = np.isfinite(logits).all(axis=1) & (logits.argmax(axis=1) == labels)
    told: list[Finding] = []
    for member, network in zip(model.members or (model,), networks, strict=True):
        own = ask(member.module, pixels) if model.members else logits
        told += findings(member.module, network, member.at, pixels, labels, np.nan_to_num(own), ask)
    found = CleanAccuracy.of(int(right.sum()), len(labels))
    if not told and found.low <= 1 / model.classes:
        told.append(Finding(_at_chance(model, found)))
    return found.model_copy(update={"findings": tuple(one.text for one in told)}), tuple(told)


def _answered(judge: Judge, pixels: Pixels) -> tuple[Floats, Mask]:
    """Logits of the rows in batches that the model answers about, and which rows those are (N,)."""
    kept, found = np.ones(len(pixels), bool), []
    for first in range(0, len(pixels), judge.batch):
        rows = slice(first, first + judge.batch)
        try:
            found.append(judge.logits(pixels[rows]))
        except UserError:
            raise
        except Exception:  # the model is the user's code
            kept[rows] = False
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32), kept


def _at_chance(model: LoadedModel, found: CleanAccuracy) -> str:
    return (
        f"{model.at}: the model is right on {found} of {found.judged:,} clean rows, no more often than by chance among "
        f"{model.classes:,} classes; check {model.at}.weights, {model.at}.normalize, and that the source's "
        "classes are the model's, in its order"
    )
