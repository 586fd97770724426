"""Speed: whole attacks against the libraries', the engine against a bare loop, its queue against a perfect one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from benchmarks.attacks.adapters import LIBRARIES, foolbox_many_eps
from benchmarks.attacks.cases import Settings, Subject, random_subject
from benchmarks.attacks.context import Context, Record
from benchmarks.attacks.judge import judge_floats, judge_stored, stored_as
from benchmarks.attacks.ours import MODES, Mode, Searcher, Stop, make, many_eps_spec, recipe_of, spec_of
from benchmarks.attacks.reference import gradients_alone
from benchmarks.attacks.timing import Contender, Times, take_turns
from torch import Tensor

from hardset.pipeline.attacks.search import SearchOutcome

PGD = Settings("pgd", Fraction(8, 255), Fraction(2, 255), steps=40)
RIVALS = ("torchattacks", "foolbox", "ART")


def lines(context: Context) -> Mapping[str, Callable[[], Record]]:
    """All lines of the table by name, in order."""
    return {
        "all_steps": lambda: all_steps(context),
        "to_first_success": lambda: to_first_success(context),
        "many_eps": lambda: many_eps(context),
        "bare_loop": lambda: bare_loop(context),
        "queue": lambda: queue(context),
    }


def all_steps(context: Context) -> Record:
    """PGD-10 on one batch of random rows; all implementations take every step."""
    subject = random_subject(context.rows(128))
    settings = replace(PGD, steps=context.steps(10), batch=len(subject))
    frozen = replace(subject, model=subject.frozen())
    searchers = _searchers(subject, settings, context)
    contenders = [
        *(_library(name, subject, settings, context) for name in RIVALS),
        *(_library(name, frozen, settings, context, suffix=", frozen by hand") for name in RIVALS[1:]),
        *(_searcher(mode, subject, settings, "never", made) for mode, made in searchers.items()),
    ]
    times, _ = take_turns([one for one in contenders if one], context.rounds(3), context.settle)
    record = _record(
        f"PGD-{settings.steps} Linf 8/255, all steps", subject, times, {"torchattacks": 3, "foolbox": 4, "ART": 4}
    )
    return record | {"networks": {str(mode): made.network.note for mode, made in searchers.items()}}


def to_first_success(context: Context) -> Record:
    """PGD-40 on real images: the libraries take all steps of all rows, the engine stops a row once it has fallen."""
    subject = context.subject("cifar_resnet20", context.rows(512))
    settings = replace(PGD, steps=context.steps(40), batch=min(PGD.batch, len(subject)))
    searchers = _searchers(subject, settings, context)
    contenders = [
        *(_library(name, subject, settings, context) for name in RIVALS),
        *(_searcher(mode, subject, settings, "success", made) for mode, made in searchers.items()),
    ]
    times, results = take_turns([one for one in contenders if one], context.rounds(2), context.settle)
    title = f"PGD-{settings.steps} Linf 8/255 to first success"
    record = _record(title, subject, times, dict.fromkeys(RIVALS, 20))
    return record | {"robust": {name: _robust(subject, result, settings) for name, result in results.items()}}


def many_eps(context: Context) -> Record:
    """PGD-40 at eight budgets in one call; the step size is 2.5 * eps / steps for both."""
    subject = context.subject("cifar_resnet20", context.rows(128))
    settings = replace(PGD, steps=context.steps(40), batch=min(64, len(subject)))
    settings = replace(settings, step_size=settings.eps * Fraction(5, 2) / settings.steps)
    eps = tuple(Fraction(level, 255) for level in range(1, 9))
    contenders = []
    if LIBRARIES["foolbox"].version:
        moved, budgets = _moved(subject, context), tuple(map(float, eps))
        attack = foolbox_many_eps(moved.model, settings, budgets)
        short = foolbox_many_eps(moved.model, replace(settings, steps=1), budgets)
        contenders.append(_attack("foolbox", attack, short, moved))
    spec = many_eps_spec(settings, eps)
    for mode in MODES:
        recipe, few = recipe_of(subject, spec, mode, settings.batch, context.device), subject.first(8)
        contenders.append(_ours(mode, lambda recipe=recipe: make(recipe, subject), lambda r=recipe, f=few: make(r, f)))
    times, _ = take_turns(contenders, context.rounds(1), context.settle)
    return _record(f"{len(eps)} eps (1 to 8/255), PGD-{settings.steps}, one call", subject, times, {"foolbox": 12})


def bare_loop(context: Context) -> Record:
    """The engine's PGD-40 against a loop of only as many forward passes and input gradients of the same network."""
    subject = random_subject(context.rows(64))
    settings = replace(PGD, steps=context.steps(40), batch=len(subject))
    shares, all_times = {}, {}
    for mode, searcher in _searchers(subject, settings, context).items():
        images, labels = subject.images.to(context.device), subject.targets.to(context.device)
        bare = Contender(
            f"bare loop, {mode}",
            lambda s=searcher, x=images, y=labels: _bare(s, x, y, settings.steps),
            lambda s=searcher, x=images, y=labels: _bare(s, x, y, 1),
        )
        engine = _searcher(mode, subject, settings, "never", searcher)
        times, _ = take_turns([bare, engine], context.rounds(2), context.settle)
        shares[str(mode)] = times[bare.name].seconds / times[engine.name].seconds
        all_times |= times
    record = _record(f"engine, PGD-{settings.steps}, against a bare loop", subject, all_times, {})
    return record | {"share_of_limit": shares, "at_least": 0.95}


def queue(context: Context) -> Record:
    """Gradients taken by rows, and gradient slots available, relative to the gradients of rows that run alone."""
    found: Record = {}
    for name, rows, wanted in (
        ("cifar_resnet20", context.rows(2000), replace(PGD, steps=context.steps(40))),
        ("cifar_cnn_a_adv", context.rows(4000), Settings("pgd", Fraction(2, 255), Fraction(1, 510), context.steps(50))),
    ):
        subject = context.subject(name, rows)
        settings = replace(wanted, batch=min(wanted.batch, rows))
        searcher = Searcher.of(subject, Mode(), settings.batch, context.device)
        outcome = searcher.run(subject, spec_of(settings, "success"))
        alone = int(gradients_alone(searcher, subject, settings).sum())
        slots = outcome.effort.batches * settings.batch
        found[name] = {
            "rows": len(subject),
            "batch": settings.batch,
            "steps": settings.steps,
            "eps": str(settings.eps),
            "minimum": alone,
            "of_rows": outcome.effort.gradients,
            "superseded": outcome.effort.wasted,
            "of_slots": slots,
            "over_minimum": (outcome.effort.gradients + outcome.effort.wasted) / alone,
            "slots_over_minimum": slots / alone,
        }
    return {"title": "gradient rows over a perfect scheduler's", "workloads": found, "at_most": 1.05}


def _bare(searcher: Searcher, images: Tensor, labels: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        point = images.clone().requires_grad_(True)
        loss = F.cross_entropy(searcher.network.forward(point), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
    return gradient


def _ours(mode: Mode, run: Callable[[], object], warm: Callable[[], object]) -> Contender:
    return Contender(f"hardset, {mode}", run, warm)


def _searchers(subject: Subject, settings: Settings, context: Context) -> dict[Mode, Searcher]:
    return {mode: Searcher.of(subject, mode, settings.batch, context.device) for mode in MODES}


def _searcher(mode: Mode, subject: Subject, settings: Settings, stop: Stop, searcher: Searcher) -> Contender:
    few, short = subject.first(settings.batch), replace(settings, steps=1)
    return _ours(
        mode,
        lambda: searcher.run(subject, spec_of(settings, stop)),
        lambda: searcher.run(few, spec_of(short, stop)),
    )


def _library(
    name: str, subject: Subject, settings: Settings, context: Context, *, suffix: str = ""
) -> Contender | None:
    library, shape = LIBRARIES[name], tuple(subject.images.shape[1:])
    if library.version is None:
        return None
    moved = _moved(subject, context)
    attack = library.attack(moved.model, settings, subject.classes, shape)
    short = library.attack(moved.model, replace(settings, steps=1), subject.classes, shape)
    assert attack and short
    return _attack(name + suffix, attack, short, moved)


def _moved(subject: Subject, context: Context) -> Subject:
    return replace(subject, model=copy.deepcopy(subject.model).to(context.device))


def _attack(
    name: str, attack: Callable[[Tensor, Tensor], Tensor], short: Callable[[Tensor, Tensor], Tensor], subject: Subject
) -> Contender:
    device = next(subject.model.parameters()).device
    images, labels = subject.images.to(device), subject.targets.to(device)
    few = min(128, len(subject))
    return Contender(name, lambda: attack(images, labels), lambda: short(images[:few], labels[:few]))


def _record(title: str, subject: Subject, times: Mapping[str, Times], at_least: Mapping[str, float]) -> Record:
    ours = [name for name in times if name.startswith("hardset")]
    return {
        "title": title,
        "model": subject.name,
        "rows": len(subject),
        "times": {name: one.record() for name, one in times.items()},
        "ratios": {
            rival: {name: times[rival].seconds / times[name].seconds for name in ours}
            for rival in times
            if not rival.startswith(("hardset", "bare"))
        },
        "cpu_ratios": {
            rival: {name: times[rival].cpu_seconds / times[name].cpu_seconds for name in ours}
            for rival in times
            if not rival.startswith(("hardset", "bare"))
        },
        "at_least": dict(at_least),
    }


def _robust(subject: Subject, result: object, settings: Settings) -> float:
    """Robust accuracy: library images judged in floats, the engine's as stored, where they must be misclassified."""
    model, clean = subject.frozen(), subject.images
    if isinstance(result, SearchOutcome):
        pixels = stored_as(result.images, subject.pixels, settings.eps, clamp=True)
        return judge_stored(model, pixels, subject.pixels, subject.labels, settings.eps).robust
    assert isinstance(result, Tensor)
    return judge_floats(model, result.cpu(), clean, subject.targets, settings.eps).robust
