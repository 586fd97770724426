"""Success after images are stored as 8-bit pixels, each row within its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from benchmarks.attacks.adapters import LIBRARIES
from benchmarks.attacks.cases import Settings, Subject
from benchmarks.attacks.context import Context, Record
from benchmarks.attacks.ensembles import ensemble_rows
from benchmarks.attacks.judge import judge_floats, judge_stored, stored_as
from benchmarks.attacks.ours import Mode, known, make, recipe_of, spec_of, warnings_of

from hardset.pipeline.batches import MadeRows
from hardset.schemas.job.recipes import Attack

EPS = Fraction("0.3")
RESTARTS = Settings("pgd", EPS, Fraction("0.01"), steps=50, restarts=10, batch=500)
STANDARD_AT_LEAST, RESTARTS_AT_LEAST = 165, 900
"""Minimum number of fallen rows: among the first 1,000, and among all 10,000."""


def lines(context: Context) -> Mapping[str, Callable[[], Record]]:
    """All lines of the table by name; none without the published models."""
    if not context.data:
        return {}
    found: dict[str, Callable[[], Record]] = {}
    if known("standard"):
        found["standard"] = lambda: standard(context)
    found |= {"restarts": lambda: restarts(context), "no level": lambda: no_level(context)}
    if context.full:
        found["restarts, foolbox"] = lambda: restarts_of_a_library(context, "foolbox")
    return found


def standard(context: Context) -> Record:
    """`standard` on 1,000 rows at eps 0.3, which is 76.5 8-bit levels."""
    subject = context.subject("mnist_fast_fgsm", context.rows(1000))
    made = ensemble_rows(context, subject.name, len(subject), "standard", EPS)
    return _judged(subject, made, EPS) | {"title": "standard", "at_least": STANDARD_AT_LEAST, "of_rows": 1000}


def restarts(context: Context) -> Record:
    """PGD-50 with 10 restarts: 500 gradients per row that resists."""
    subject = context.subject("mnist_fast_fgsm", context.rows(10_000))
    return _made(subject, spec_of(RESTARTS, "success"), context) | {
        "title": "pgd, 50 steps, 10 restarts",
        "at_least": RESTARTS_AT_LEAST,
        "of_rows": 10_000,
    }


def restarts_of_a_library(context: Context, name: str) -> Record:
    """The same attack by a library, rounded to nearest, and rounded then clamped to the eps ball."""
    library = LIBRARIES[name]
    if library.version is None:
        return {"title": f"{name}: not installed"}
    subject = context.subject("mnist_fast_fgsm", context.rows(10_000))
    settings = replace(RESTARTS, restarts=context.steps(RESTARTS.restarts))
    run = library.attack(subject.model, settings, subject.classes, tuple(subject.images.shape[1:]))
    assert run
    torch.manual_seed(0)
    images, model = run(subject.images, subject.targets), subject.frozen()
    floats = judge_floats(model, images, subject.images, subject.targets, EPS)
    judged = {
        how: judge_stored(
            model, stored_as(images, subject.pixels, EPS, clamp=clamp), subject.pixels, subject.labels, EPS
        ).record()
        for how, clamp in (("nearest", False), ("clamped", True))
    }
    title = f"{name}: pgd, {settings.steps} steps, {settings.restarts} restarts"
    return {
        "title": title,
        "model": subject.name,
        "eps": str(EPS),
        "rows": len(subject),
        "floats": floats.record(),
    } | judged


def no_level(context: Context) -> Record:
    """Budget of half an 8-bit level: no row can be stored within it, and the job warns before it starts."""
    eps = Fraction(1, 510)
    subject = context.subject("mobilenet_v1_0.25_128", context.rows(250))
    spec = Attack(name="pgd", eps=str(eps), steps=20)
    record = _made(subject, spec.resolved(subject.classes), context, eps)
    return record | {
        "title": "pgd, 20 steps, at half a level",
        "at_most": 0,
        "warnings": list(warnings_of(subject, spec)),
    }


def _made(subject: Subject, spec: Attack, context: Context, eps: Fraction = EPS) -> Record:
    batch = min(RESTARTS.batch, len(subject))
    return _judged(subject, make(recipe_of(subject, spec, Mode(), batch, context.device), subject), eps)


def _judged(subject: Subject, made: MadeRows, eps: Fraction) -> Record:
    verdict = judge_stored(subject.frozen(), made.pixels, subject.pixels, subject.labels, eps)
    return {
        "model": subject.name,
        "eps": str(eps),
        "rows": len(subject),
        "stored": verdict.record(),
        "wrong_in_floats": int((np.asarray(made.columns["float_pred"]) != subject.labels).sum()),
        "changed": int((made.pixels != subject.pixels).any(axis=(1, 2, 3)).sum()),
    }
