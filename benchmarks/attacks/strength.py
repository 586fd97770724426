"""Strength: robust accuracy at equal steps and step size; one float32 judge for all implementations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from benchmarks.attacks.adapters import LIBRARIES, auto_attack
from benchmarks.attacks.cases import AttackName, Settings, Subject
from benchmarks.attacks.context import Context, Record
from benchmarks.attacks.counting import Counted
from benchmarks.attacks.ensembles import BATCH, ensemble_rows
from benchmarks.attacks.judge import judge_floats, judge_stored, predictions, stored_as
from benchmarks.attacks.ours import Mode, Searcher, known, make, recipe_of, spec_of
from numpy.typing import NDArray
from torch import Tensor

from hardset.schemas.job.recipes import Attack

ENSEMBLES = ("standard", "fast")
POINTS_ALLOWED = 0.3
STARTS = 3  # figures of one start vary by 3 to 9 rows of 1,000, in every implementation


@dataclass(frozen=True)
class Case:
    """A published model, its budget, and the attacks on it."""

    model: str
    rows: int
    eps: Fraction
    step_size: Fraction
    steps: int
    attacks: tuple[AttackName, ...]
    ensembles: bool = False
    """Whether AutoAttack is measured on it as well."""

    @property
    def name(self) -> str:
        """Key of the line."""
        return f"{self.model} at {_pixels(self.eps)}"

    def settings(self, attack: AttackName) -> Settings:
        """Settings shared by all implementations."""
        if attack == "fgsm":
            return Settings(attack, self.eps, self.eps, 1)
        return Settings(attack, self.eps, 2 * self.eps if attack == "apgd_ce" else self.step_size, self.steps)


CASES = (
    Case("mnist_fast_fgsm", 1000, Fraction("0.3"), Fraction("0.01"), 50, ("fgsm", "pgd", "apgd_ce"), ensembles=True),
    Case("cifar_cnn_a_adv", 1000, Fraction(2, 255), Fraction(1, 510), 50, ("fgsm", "pgd", "apgd_ce"), ensembles=True),
    Case("cifar_resnet20", 300, Fraction(8, 255), Fraction(2, 255), 20, ("fgsm", "pgd")),
    Case("cifar_resnet20", 300, Fraction(1, 255), Fraction(1, 1020), 20, ("pgd",)),
    Case("mobilenet_v1_0.25_128", 250, Fraction(2, 255), Fraction(1, 510), 20, ("fgsm", "pgd")),
)


def lines(context: Context) -> Mapping[str, Callable[[], Record]]:
    """All lines of the table by name, in order; none without the published models."""
    if not context.data:
        return {}
    found: dict[str, Callable[[], Record]] = {}
    for case in CASES:
        for attack in case.attacks:
            found[f"{case.name}, {attack}"] = lambda case=case, attack=attack: one_attack(context, case, attack)
        if case.ensembles:
            # The 5,000 queries of standard's last stage take minutes.
            wanted = ENSEMBLES if case is CASES[0] or context.full else ("fast",)
            for name in filter(known, wanted):
                found[f"{case.name}, {name}"] = lambda case=case, name=name: ensemble(context, case, name)
            if context.full:
                found[f"{case.name}, AutoAttack"] = lambda case=case: reference(context, case)
    return found


def one_attack(context: Context, case: Case, attack: AttackName) -> Record:
    """One attack at equal steps and step size, run by every library that has it and by the engine."""
    subject = context.subject(case.model, context.rows(case.rows))
    settings = case.settings(attack)
    settings = replace(settings, steps=context.steps(settings.steps))
    by_start = [
        _by_everyone(context, subject, replace(settings, start=start))
        for start in range(1 if attack == "fgsm" else STARTS)
    ]
    figures = {name: _mean([figures[name] for figures in by_start]) for name in by_start[0]}
    best = min((one["floats"]["robust"] for name, one in figures.items() if name in LIBRARIES), default=None)
    ours = figures["hardset"]["floats"]["robust"]
    return _what(case, subject, attack, settings.steps) | {
        "figures": figures,
        "points_above_best": None if best is None else ours - best,
        "at_most": POINTS_ALLOWED,
    }


def _by_everyone(context: Context, subject: Subject, settings: Settings) -> dict[str, Record]:
    """Figures of one random start, for every library that has the attack and for the engine."""
    figures: dict[str, Record] = {}
    for name, library in LIBRARIES.items():
        if library.version is None:
            continue
        run = library.attack(subject.model, settings, subject.classes, tuple(subject.images.shape[1:]))
        if run is not None:
            torch.manual_seed(settings.start)
            np.random.seed(settings.start)  # ART draws its random starts from NumPy's global generator
            figures[name] = _floats_and_stored(subject, run(subject.images, subject.targets), settings.eps)
    searcher = Searcher.of(subject, Mode(), settings.batch, context.device)
    spec = spec_of(settings, "success")
    ended = searcher.in_floats(subject, spec, settings.start)
    figures["hardset"] = _floats_and_stored(subject, ended.images.cpu(), settings.eps)
    made = make(recipe_of(subject, spec, Mode(), settings.batch, context.device), subject, settings.start)
    stored = judge_stored(subject.frozen(), made.pixels, subject.pixels, subject.labels, settings.eps)
    figures["hardset, on the grid"] = {"stored": stored.record()}
    return figures


def _mean(starts: Sequence[Record]) -> Record:
    """Mean of each figure over the starts, and the robust accuracy of each start."""
    means: Record = {}
    for kind in starts[0]:
        of_kind = [one[kind] for one in starts]
        means[kind] = {key: float(np.mean([one[key] for one in of_kind])) for key in of_kind[0]}
        means[kind]["robust_by_start"] = [one["robust"] for one in of_kind]
    return means


def ensemble(context: Context, case: Case, name: str) -> Record:
    """`standard` or `fast` as a job runs it: stored rows, and the cost of a surviving row."""
    subject = context.subject(case.model, context.rows(case.rows))
    made = ensemble_rows(context, case.model, len(subject), name, case.eps)
    stored = judge_stored(subject.frozen(), made.pixels, subject.pixels, subject.labels, case.eps)
    record = {"stored": stored.record()} | _cost(made.columns, _survivors(subject, made.pixels))
    if context.full or name != "standard":
        record |= _ensemble_in_floats(context, case, subject, name)
    return _what(case, subject, name, None) | {"figures": {"hardset": record}}


def _ensemble_in_floats(context: Context, case: Case, subject: Subject, name: str) -> Record:
    spec = Attack(name=name, eps=str(case.eps)).resolved(subject.classes)
    ended = Searcher.of(subject, Mode(), min(BATCH, len(subject)), context.device).in_floats(subject, spec)
    images = ended.images.cpu()
    left = predictions(subject.frozen(), images) == subject.labels
    return {
        "floats": judge_floats(subject.frozen(), images, subject.images, subject.targets, case.eps).record(),
        "cost_in_floats": _cost({"steps": ended.gradients, "queries": ended.queries}, left),
    }


def reference(context: Context, case: Case) -> Record:
    """torchattacks' port of AutoAttack standard; gradients and queries are counted at the model."""
    subject = context.subject(case.model, context.rows(case.rows))
    counted = Counted(subject.model)
    settings = Settings("pgd", case.eps, case.step_size, case.steps, batch=BATCH)
    images = auto_attack(counted, settings, subject.classes)(subject.images, subject.targets)
    record = _floats_and_stored(subject, images, case.eps)
    record["gradients"], record["queries"] = counted.gradients, counted.queries
    record |= _reference_cost(subject, images, settings)
    return _what(case, subject, "AutoAttack", None) | {"figures": {"torchattacks": record}}


def _reference_cost(subject: Subject, images: Tensor, settings: Settings) -> Record:
    """Highest cost among the first surviving rows when each is attacked alone; some of them fall alone."""
    costs = []
    for row in np.flatnonzero(predictions(subject.frozen(), images) == subject.labels)[:3]:
        counted = Counted(subject.model)
        auto_attack(counted, settings, subject.classes)(subject.images[[row]], subject.targets[[row]])
        costs.append((counted.gradients, counted.queries))
    if not costs:
        return {}
    gradients, queries = max(costs)
    return {"gradients_per_surviving_row": gradients, "queries_per_surviving_row": queries}


def _what(case: Case, subject: Subject, attack: str, steps: int | None) -> Record:
    clean = predictions(subject.frozen(), subject.images) == subject.labels
    return {
        "model": case.model,
        "eps": str(case.eps),
        "eps_pixels": _pixels(case.eps),
        "step_size": str(case.step_size),
        "steps": steps,
        "rows": len(subject),
        "attack": attack,
        "clean": 100 * float(clean.mean()),
    }


def _floats_and_stored(subject: Subject, images: Tensor, eps: Fraction) -> Record:
    """Images as floats, rounded to nearest, and rounded then clamped to the eps ball."""
    model = subject.frozen()
    floats = judge_floats(model, images, subject.images, subject.targets, eps)
    nearest = stored_as(images, subject.pixels, eps, clamp=False)
    clamped = stored_as(images, subject.pixels, eps, clamp=True)
    return {
        "floats": floats.record(),
        "nearest": judge_stored(model, nearest, subject.pixels, subject.labels, eps).record(),
        "stored": judge_stored(model, clamped, subject.pixels, subject.labels, eps).record(),
    }


def _survivors(subject: Subject, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return predictions(subject.frozen(), images) == subject.labels


def _cost(columns: Mapping[str, object], survivors: NDArray[np.bool_]) -> Record:
    """Gradients and queries: total, and per surviving row."""
    found: Record = {}
    for column, name in (("steps", "gradients"), ("queries", "queries")):
        if column in columns:
            spent = np.asarray(columns[column], dtype=np.float64)
            found[name] = int(spent.sum())
            found[f"{name}_per_surviving_row"] = float(spent[survivors].mean()) if survivors.any() else None
    return found


def _pixels(eps: Fraction) -> str:
    """A budget in common notation: 8/255, or 0.3."""
    levels = eps * 255
    return f"{float(levels):g}/255" if (2 * levels).denominator == 1 and eps < Fraction(1, 10) else f"{float(eps):g}"
