"""`hardset.attack`: images in memory attacked and judged as a run does it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardset.jobs.api.tensors import images_of, rows_of, seeds_of
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.pipeline.judging.judge import Floats, Judge, distances, finite_rows, seeded, verdict
from hardset.pipeline.models.modes import frozen
from hardset.schemas.errors import JobError, RunError, one_line
from hardset.schemas.job.job import check_classes
from hardset.schemas.job.recipes import Attack
from hardset.schemas.reading.loading import parse_document
from hardset.schemas.rows.success import succeeded

MOST_ROWS = 256
"""Rows in one forward pass unless `batch` says otherwise."""


@dataclass(frozen=True)
class Attacked:
    """Adversarial images and the verdicts on them: one entry per image and budget, on the device of the images."""

    images: Tensor
    """Float32 (M, C, H, W) in [0, 1], on the 8-bit grid: what would be stored, and what was judged."""
    clean: Tensor
    """What they were made from, on the grid as well; float32 (M, C, H, W)."""
    labels: Tensor
    """int64 (M,)."""
    parents: Tensor
    """Position of each in the images that were given; int64 (M,)."""
    success: Tensor
    """Right before and wrong after the attack; with a target: the target reached. bool (M,)."""
    clean_pred: Tensor
    """Class of the clean image; int64 (M,)."""
    pred: Tensor
    """Class of the adversarial image; int64 (M,)."""
    clean_margin: Tensor
    """Logit of the label less the best other, of the clean image; float32 (M,)."""
    margin: Tensor
    """The same of the adversarial image; below 0 is an error."""
    confidence: Tensor
    """Softmax probability of `pred`; float32 (M,)."""
    eps: Tensor
    """Budget of each, on the [0, 1] scale; float64 (M,)."""
    linf_levels: Tensor
    """Largest change of a value, in 8-bit levels; int32 (M,)."""
    l2: Tensor
    """L2 norm of the change on the [0, 1] scale; float32 (M,)."""
    l1: Tensor
    """L1 norm of the change on the [0, 1] scale; float32 (M,)."""
    steps: Tensor
    """Gradients spent; int (M,)."""
    queries: Tensor
    """Forward passes without a gradient; int (M,)."""
    found_by: tuple[str, ...]
    """Attack that each comes from: of an ensemble, one of its parts."""
    flags: tuple[str, ...]
    """What went wrong, as in the `flags` column; empty where nothing did."""


def attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    name: str = "pgd",
    *,
    eps: Any,
    norm: str = "linf",
    seed: int = 0,
    batch: int | None = None,
    **settings: Any,
) -> Attacked:
    """Attacks images in memory with the engine that makes datasets, and judges what would be stored.

    `model`: images in [0, 1] (N, C, H, W) to logits (N, classes), float32; normalisation belongs inside. It is run in
    eval mode on its own device and left as it was. `images`: float (N, C, H, W) in [0, 1], on any device; they are
    rounded to the 8-bit grid first. `labels`: integers (N,). `name`, `eps`, `norm` and `settings` are those of an
    attack recipe in a job file, such as `steps`, `restarts`, `target`; a list of budgets gives an entry per budget.
    `seed`: same seed, image and settings, same result, whatever other images go along. `batch`: rows in one forward
    pass, on whose shape float32 sums depend in their last bits; None: as many as there are, 256 at most.

    Raises JobError for settings, tensors and models that do not go together, RunError where logits are not finite.

    >>> import hardset, torch
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    >>> images, labels = torch.rand(8, 1, 8, 8), torch.arange(8)
    >>> result = hardset.attack(model, images, labels, "pgd", eps=8/255)
    >>> result.images.shape, int(result.linf_levels.max())
    (torch.Size([8, 1, 8, 8]), 8)
    """
    document = {"kind": "attack", "name": name, "eps": eps, "norm": norm, **settings}
    spec = parse_document(document, (), Attack, name="attack")
    rows = rows_of(images, labels)
    device = _device_of(model, images)
    batch = batch or min(len(rows) * spec.variants, MOST_ROWS)
    judge = Judge(module=model, batch=batch, device=device, stochastic=spec.eot > 1, name="the model")
    with frozen(model):
        before = _clean_logits(judge, rows)
        _check_classes(spec, before.shape[1])
        recipe = AttackRecipe(spec, module=model, classes=before.shape[1], batch=batch, device=device)
        seeds = seeds_of(rows, seed, recipe.op, recipe.variants)
        with seeded(device) if judge.stochastic else nullcontext():
            made = recipe.make(rows, seeds)
        for lost in made.rejects:
            raise RunError(f"images: row {lost.index}: {lost.message}")
        after = judge.logits(made.pixels)
    if not finite_rows(after).all():
        raise RunError("model: returns NaN or infinite logits for an adversarial image")
    return _attacked(rows, made, before, after, images.device)


def _device_of(model: nn.Module, images: Tensor) -> torch.device:
    """The device of the model; of one without tensors, that of the images."""
    if not isinstance(model, nn.Module):
        raise JobError(f"model: got a {type(model).__name__}; wants a torch.nn.Module from images to logits")
    tensors = list(chain(model.parameters(), model.buffers()))
    other = next((one.dtype for one in tensors if one.is_floating_point() and one.dtype != torch.float32), None)
    if other is not None:
        raise JobError(f"model: holds {other}; wants float32, in which verdicts are given: model.float()")
    return tensors[0].device if tensors else images.device


def _clean_logits(judge: Judge, rows: CleanRows) -> Floats:
    """Logits of the clean images, once they are of the form that all else relies on."""
    shape = tuple(rows.pixels.shape[i] for i in (0, 3, 1, 2))
    try:
        logits = judge.logits(rows.pixels)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise JobError(f"model: cannot take images of the shape {shape}: {one_line(error, 200)}") from error
    if logits.ndim != 2 or logits.shape[1] < 2 or len(logits) != len(rows):
        raise JobError(f"model: returns {tuple(logits.shape)} for images of the shape {shape}; wants (N, classes)")
    if not finite_rows(logits).all():
        raise RunError("model: returns NaN or infinite logits for a clean image")
    wrong = np.flatnonzero((rows.labels < 0) | (rows.labels >= logits.shape[1]))
    if len(wrong):
        raise JobError(
            f"labels: row {wrong[0]} has {rows.labels[wrong[0]]}; wants 0 to {logits.shape[1] - 1}, the model's classes"
        )
    return logits


def _check_classes(spec: Attack, classes: int) -> None:
    try:
        check_classes(spec, "attack", classes)
    except ValueError as error:
        raise JobError(str(error)) from None


def _attacked(rows: CleanRows, made: MadeRows, before: Floats, after: Floats, device: torch.device) -> Attacked:
    parents, labels = made.parents, rows.labels[made.parents]
    first, found = verdict(before, rows.labels), verdict(after, labels)
    clean_pred = first.pred[parents]
    aimed = made.columns.get("target_label")
    levels, l2, l1 = distances(made.pixels, rows.pixels[parents])

    def tensor(values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return Attacked(
        images=images_of(made.pixels, device),
        clean=images_of(rows.pixels[parents], device),
        labels=tensor(labels),
        parents=tensor(parents),
        success=tensor(
            succeeded(clean_pred, found.pred, labels, None if aimed is None else np.asarray(aimed, np.int64))
        ),
        clean_pred=tensor(clean_pred),
        pred=tensor(found.pred),
        clean_margin=tensor(first.margin[parents]),
        margin=tensor(found.margin),
        confidence=tensor(found.confidence),
        eps=tensor(made.columns["eps"]),
        linf_levels=tensor(levels),
        l2=tensor(l2),
        l1=tensor(l1),
        steps=tensor(made.columns["steps"]),
        queries=tensor(made.columns["queries"]),
        found_by=tuple(map(str, made.columns["found_by"])),
        flags=tuple(map(str, made.columns["flags"])),
    )
