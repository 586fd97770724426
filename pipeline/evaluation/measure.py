"""Measures one attack on one model: verdicts before and after on every row, and the cost of the attack.

Every robust accuracy in hardset comes from here: a fresh attack on the model in question, judged in float32 on 8-bit
pixels. The function uses neither Ray nor storage.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hardset.pipeline.attacks.declared import declaration_of, resolved
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.judging.judge import Classes, Judge, Mask, Verdict, seeded, verdict
from hardset.pipeline.models.modes import frozen
from hardset.pipeline.recipes.worst_of import WorstOfRecipe
from hardset.schemas.digests import row_seed
from hardset.schemas.errors import JobError
from hardset.schemas.job.quantities import Range
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.worst_of import NaturalChanges, WorstOf
from hardset.schemas.rows.flags import with_flag

Counted = NDArray[np.int32]

_OTHER_SEED = 1  # of a second verdict on models that answer at random


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a measurement. Only `batch` and `precision` can change the result of single rows."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Device of the model."""
    batch: int = 256
    """Number of rows per forward pass."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the search; verdicts are always float32."""
    compile: bool = False
    """Whether to compile the model for the search (torch.compile)."""
    seed: int = 0
    """Seed of the attacks' randomness: random starts, drawn targets."""
    stochastic: bool = False
    """Whether the model draws from torch's generators: then each row is judged alone, from the same seed."""


@dataclass(frozen=True)
class Measurement:
    """Result of an attack on N rows at E budgets, in ascending order.

    A row misclassified at one budget is misclassified at every larger one: the smaller ball lies inside the larger one,
    and each search starts where the previous one ended.
    """

    attack: Attack
    """The attack with every setting explicit."""
    eps: NDArray[np.float64]
    """Budgets (E,) on the [0, 1] pixel scale, ascending."""
    labels: Classes
    """Labels (N,)."""
    clean: Verdict
    """Verdict on the clean rows (N,)."""
    pixels: Pixels
    """Attacked rows as they would be stored, uint8 (E, N, H, W, C)."""
    attacked: Verdict
    """Verdict on `pixels`; its arrays are (E, N)."""
    float_pred: Classes
    """Predictions (E, N) on the float images before rounding to 8 bits; -1 without a verdict."""
    gradients: Counted
    """Number of gradients (E, N); those of a smaller budget are not counted again at a larger one."""
    queries: Counted
    """Number of forward passes without gradient (E, N)."""
    flags: tuple[tuple[str, ...], ...]
    """Flags of every row (E, N), as in the column `flags`: comma-separated names of `schemas.rows.flags`."""
    seconds: float
    """Wall-clock time of attack and verdicts, in seconds."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> Mask:
        """Mask (N,) of rows classified correctly before the attack."""
        right: Mask = self.clean.pred == self.labels
        return right

    @property
    def robust(self) -> Mask:
        """Mask (E, N) of rows classified correctly before and after. Rows without a verdict count as wrong."""
        robust: Mask = self.right & (self.attacked.pred == self.labels)
        return robust

    @property
    def float_robust(self) -> Mask:
        """The same mask (E, N) before rounding to 8 bits, as reported by libraries that keep floats."""
        robust: Mask = self.right & (self.float_pred == self.labels)
        return robust

    @property
    def clean_accuracy(self) -> float:
        """Share of rows, in [0, 1], classified correctly before the attack."""
        return float(self.right.mean())

    @property
    def robust_accuracy(self) -> float:
        """Share of rows, in [0, 1], that withstand the attack at its largest budget."""
        return float(self.robust[-1].mean())


def measure(
    module: nn.Module,
    pixels: Pixels,
    labels: Classes,
    keys: Sequence[str],
    attack: Attack,
    settings: Settings,
    *,
    classes: int,
    parts: tuple[nn.Module, ...] = (),
) -> Measurement:
    """Attacks N > 0 rows and judges the pixels that would be stored.

    `module`: float32 images in [0, 1], N x C x H x W, to `classes` logits, on the settings' device. It is in eval mode
    and frozen meanwhile; its modes and `requires_grad` flags are restored. `parts`: members of an ensemble whose losses
    the attack averages. `pixels`: uint8 (N, H, W, C); `labels` (N,) in [0, classes); `keys` (N,) name the rows and
    together with the seed determine their randomness, so that models are compared from the same starts. `attack`: a row
    is finished at its first misclassification unless the attack says when to stop.

    Raises JobError if eps is a range or the attack's custom objective cannot be used; ValueError for no rows, and for
    labels that are not classes.
    """
    attack = evaluated(attack, classes)
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"wants rows with labels in [0, {classes})")
    started = time.monotonic()
    rows = CleanRows(pixels=pixels, labels=labels, keys=tuple(keys), indices=np.arange(len(labels), dtype=np.int64))
    with frozen(module):
        judge = _judge(module, settings)
        clean = verdict(judge.logits(pixels), labels)
        recipe = AttackRecipe(
            attack,
            module=module,
            classes=classes,
            batch=settings.batch,
            precision=settings.precision,
            compile=settings.compile,
            parts=parts,
            device=settings.device,
        )
        with seeded(settings.device) if settings.stochastic else nullcontext():
            made = recipe.make(rows, _seeds(keys, attack, settings.seed))
        given = np.repeat(labels, attack.variants)[_places(made, attack)]
        attacked = verdict(judge.logits(made.pixels), given)
        if settings.stochastic:
            moody = verdict(judge.logits(made.pixels, seed=_OTHER_SEED), given).pred != attacked.pred
            flags = with_flag(list(map(str, made.columns["flags"])), "stochastic", moody)
            made = replace(made, columns={**made.columns, "flags": flags})
    return _measurement(attack, rows, clean, made, attacked, time.monotonic() - started)


def judged(module: nn.Module, pixels: Pixels, labels: Classes, settings: Settings) -> Verdict:
    """Float32 verdict of `module` on unchanged rows; arguments as for `measure`."""
    with frozen(module):
        return verdict(_judge(module, settings).logits(pixels), labels)


def worst_verdict(
    module: nn.Module,
    rows: CleanRows,
    changes: NaturalChanges,
    seeds: NDArray[np.int64],
    settings: Settings,
    *,
    classes: int,
) -> Verdict:
    """Float32 verdict of `module` on the worst draw of each row; rows without a finite one have no verdict.

    `seeds`: int64 (N,), which fix the draws. Otherwise as `measure`.
    """
    with frozen(module):
        judge = _judge(module, settings)
        spec = WorstOf(ops=changes.ops, tries=changes.tries)
        made = WorstOfRecipe(spec, judge=judge, classes=classes, device=settings.device).make(rows, seeds[:, None])
        found = verdict(judge.logits(made.pixels), rows.labels[made.parents])
    pred, margin, confidence = (
        np.full(len(rows), empty, values.dtype)
        for empty, values in ((-1, found.pred), (np.nan, found.margin), (np.nan, found.confidence))
    )
    pred[made.parents], margin[made.parents], confidence[made.parents] = found.pred, found.margin, found.confidence
    return Verdict(pred=pred, margin=margin, confidence=confidence)


def evaluated(attack: Attack, classes: int) -> Attack:
    """The attack as measured: resolved for `classes` classes, stopping a row at its first misclassification by default.

    Raises JobError if eps is a range, since a figure belongs to one budget.
    """
    if isinstance(attack.eps, Range):
        raise JobError(
            f"{attack.name}: eps is a range from {attack.eps.min} to {attack.eps.max}, and a figure belongs to one "
            "budget; wants a number, or a list of numbers"
        )
    declared = declaration_of(attack.name)
    if attack.stop is None and not declared.minimal and not declared.foreign:
        attack = attack.model_copy(update={"stop": "success"})
    return resolved(attack, classes)


def budgets(attack: Attack) -> tuple[float, ...]:
    """Budgets of an attack whose eps is a number or a list, ascending."""
    eps = attack.eps if isinstance(attack.eps, tuple) else (attack.eps,)
    return tuple(float(value) for value in eps if not isinstance(value, Range))


def _judge(module: nn.Module, settings: Settings) -> Judge:
    return Judge(module=module, batch=settings.batch, device=settings.device, stochastic=settings.stochastic)


def _seeds(keys: Sequence[str], attack: Attack, seed: int) -> NDArray[np.int64]:
    """Row seeds, int64 (N, E); they depend on neither budget nor model, so that all start from the same noise."""
    name = f"evaluate/{attack.name}/{attack.norm}"
    seeds = [row_seed(run_seed=seed, recipe=name, source_key=key, variant=0) for key in keys]
    return np.repeat(np.asarray(seeds, np.int64)[:, None], attack.variants, axis=1)


def _places(made: MadeRows, attack: Attack) -> NDArray[np.int64]:
    """Position of each made row among all expected rows, in the order (parent, variant)."""
    return made.parents * attack.variants + made.variants


def _measurement(
    attack: Attack, rows: CleanRows, clean: Verdict, made: MadeRows, attacked: Verdict, seconds: float
) -> Measurement:
    """Arranges the made rows; where the model gave no finite logits, the clean row stands in without a verdict."""
    count, variants, at = len(rows), attack.variants, _places(made, attack)

    def table(values: NDArray[np.generic], missing: object) -> NDArray[np.generic]:
        full = np.full((count * variants, *values.shape[1:]), missing, values.dtype)
        full[at] = values
        return np.moveaxis(full.reshape(count, variants, *values.shape[1:]), 0, 1)

    pixels = np.repeat(rows.pixels, variants, axis=0)
    pixels[at] = made.pixels
    columns = {name: np.asarray(values) for name, values in made.columns.items()}
    flags = table(np.asarray(columns["flags"], object), "") if len(made) else np.full((variants, count), "", object)
    empty = np.zeros(0, np.int32)
    return Measurement(
        attack=attack,
        eps=np.asarray(budgets(attack)),
        labels=rows.labels,
        clean=clean,
        pixels=np.moveaxis(pixels.reshape(count, variants, *pixels.shape[1:]), 0, 1),
        attacked=Verdict(
            pred=table(attacked.pred, -1).astype(np.int64),
            margin=table(attacked.margin, np.nan).astype(np.float32),
            confidence=table(attacked.confidence, np.nan).astype(np.float32),
        ),
        float_pred=table(columns.get("float_pred", empty), -1).astype(np.int64),
        gradients=table(columns.get("steps", empty), 0).astype(np.int32),
        queries=table(columns.get("queries", empty), 0).astype(np.int32),
        flags=tuple(tuple(str(value) for value in line) for line in flags),
        seconds=seconds,
    )
