"""How near attacks come to the nearest adversarial image: AttackBench's optimality, in floats and as stored.

    python -m benchmarks.attackbench --data FOLDER [--model NAME] [--rows 200] [--passes 1000] [--norm l2] [--only TEXT]

Cina, Rony, Pintor, Demetrio, Demontis, Biggio, Ben Ayed, Roli: AttackBench. AAAI 2025, arXiv 2404.19460. Each line is
one attack of hardset or adv-lib at the same number of gradients for each row; attacks of one budget look for each row's
by bisection. Lines that docs/benchmarks/attackbench.json has are kept, so that an interrupted run goes on; `--only`
measures the matching ones again. adv-lib is left out where it is not installed. --data holds the published models.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarks.attacks.adapters import LIBRARIES, stand_ins
from benchmarks.attacks.cases import Published, Subject
from benchmarks.attacks.context import Book, Record
from benchmarks.attacks.counting import Counted
from benchmarks.attacks.judge import predictions
from benchmarks.attacks.machine import describe
from benchmarks.attacks.ours import seeds_of
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.composition import in_floats, stages_of
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.program import run_program
from hardset.pipeline.attacks.search import SearchRows
from hardset.schemas.job.recipes import Attack
from hardset.schemas.norms import NORMS, STORED_NORMS, Norm

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
MOST: Mapping[Norm, float] = {"linf": 1.0, "l2": 8.0, "l1": 64.0}
"""Largest budget that is tried, on the [0, 1] scale."""
FORMS = ("floats", "stored")
ROUNDS = 10
"""Budgets that the bisection tries for each row; each takes a tenth of the passes."""
BATCH = 100
_MODEL = "mnist_fast_fgsm"

Attempt = Callable[[Subject, NDArray[np.float64]], Tensor]
"""(rows, budgets (N,)) -> the images found, float32 (N, C, H, W); the clean ones where none was."""


@dataclass(frozen=True)
class Contender:
    """An attack of a library: one that finds the smallest change by itself, or one of a given budget."""

    library: str
    attack: str
    norms: tuple[Norm, ...]
    make: Callable[[Counted, Norm, int, bool], Attempt]
    """(model, norm, passes for each row, whether it works on the 8-bit grid) -> attempt."""
    minimal: bool = True
    passes_in: int = 1
    """Gradients that one step takes."""


def optimality(found: NDArray[np.float64], nearest: NDArray[np.float64]) -> float:
    """AttackBench's local optimality, in [0, 1]: 1 is as near as the nearest image known of every row.

    `found` and `nearest`: distances (N,), 0 where the model errs on the clean image, infinite where nothing was found.
    The area under robust accuracy over the budget, up to the largest of `nearest`, is the mean of the distances cut
    there; an attack that finds nothing has that of the clean accuracy.
    """
    most = float(nearest[np.isfinite(nearest)].max())
    nothing = most * float((nearest > 0).mean())
    gained = nothing - float(np.minimum(nearest, most).mean())
    return (nothing - float(np.minimum(found, most).mean())) / gained


def distances(subject: Subject, images: Tensor, norm: Norm) -> NDArray[np.float64]:
    """Distances (N,) on the [0, 1] scale of the images that the model errs on; infinite for the others."""
    wrong = predictions(subject.model, images) != subject.labels
    change = (images - subject.images).double().flatten(1).abs()
    size = {"linf": lambda: change.amax(1), "l2": lambda: change.square().sum(1).sqrt(), "l1": lambda: change.sum(1)}
    return np.where(wrong, size[norm]().numpy(), np.inf)


def rounded(images: Tensor) -> Tensor:
    """Images rounded to the nearest of 256 levels."""
    return torch.round(images.clamp(0, 1) * 255) / 255


def bisected(attempt: Attempt, subject: Subject, norm: Norm, *, stored: bool) -> NDArray[np.float64]:
    """Smallest distances (N,) that an attack of a given budget finds when it is tried at ROUNDS budgets."""
    low, high = np.zeros(len(subject)), np.full(len(subject), MOST[norm])
    best = np.full(len(subject), np.inf)
    for _ in range(ROUNDS):
        budgets = (low + np.minimum(high, best)) / 2
        images = attempt(subject, budgets)
        found = distances(subject, rounded(images) if stored else images, norm)
        fell = np.isfinite(found)
        best = np.minimum(best, found)
        low, high = np.where(fell, low, budgets), np.where(fell, budgets, high)
    return best


def _hardset(name: str, **more: object) -> Callable[[Counted, Norm, int, bool], Attempt]:
    def make(model: Counted, norm: Norm, steps: int, stored: bool) -> Attempt:
        spec = Attack(name=name, norm=norm, eps=MOST[norm] / 2, steps=steps, **more).resolved()  # type: ignore[arg-type]
        engine = Engine(model, BATCH, torch.device("cpu"))

        def attempt(subject: Subject, budgets: NDArray[np.float64]) -> Tensor:
            stages = stages_of(spec, subject.classes)
            geometry = stages[0].search.geometry
            pixels = torch.from_numpy(subject.pixels).permute(0, 3, 1, 2).contiguous()
            rows = SearchRows(
                pixels=pixels,
                labels=subject.targets,
                targets=torch.full((len(subject), 1), -1),
                seeds=torch.from_numpy(seeds_of(len(subject))),
                radius=geometry.radius(budgets) if stored else budgets,
                # Off the grid a row with a budget is searched, however small that is.
                budget=geometry.budget(budgets) if stored else np.ones(len(subject), np.int64),
                step_size=np.full(len(subject), np.nan),
            )
            used = stages if stored else in_floats(stages)
            images = run_program(engine, used, rows, budgets, engine.logits(subject.images), 1).images
            if stored:
                levels = geometry.to_grid(images, pixels.float(), torch.from_numpy(rows.budget))
                images = levels / 255
            return images

        return attempt

    return make


def _adv_lib(attack: str, steps_name: str) -> Callable[[Counted, Norm, int, bool], Attempt]:
    def make(model: Counted, norm: Norm, steps: int, stored: bool) -> Attempt:
        with stand_ins("visdom", "torchvision"):
            run = getattr(importlib.import_module("adv_lib.attacks"), attack)
        more: dict[str, object] = {steps_name: steps} | ({} if attack == "ddn" else {"norm": _ORDER[norm]})

        def attempt(subject: Subject, budgets: NDArray[np.float64]) -> Tensor:
            torch.manual_seed(0)
            parts = zip(
                subject.images.split(BATCH),
                subject.targets.split(BATCH),
                torch.from_numpy(budgets).float().split(BATCH),
                strict=True,
            )
            budget = "eps" if attack == "apgd" else None
            found = [
                run(model, images, labels, **more, **({budget: eps} if budget else {})) for images, labels, eps in parts
            ]
            return torch.cat(found).detach()

        return attempt

    return make


_ORDER: Mapping[Norm, float] = {"linf": float("inf"), "l2": 2, "l1": 1}
_ALL: tuple[Norm, ...] = ("linf", "l2", "l1")

CONTENDERS = (
    Contender("hardset", "apgd_ce", _ALL, _hardset("apgd_ce", stop="success"), minimal=False),
    Contender("hardset", "pgd", _ALL, _hardset("pgd", stop="success"), minimal=False),
    Contender("hardset", "fmn", _ALL, _hardset("fmn")),
    Contender("hardset", "ddn", ("l2",), _hardset("ddn")),
    Contender("hardset", "fab", _ALL, _hardset("fab")),
    Contender("hardset", "fab_t", _ALL, _hardset("fab_t"), passes_in=9),
    Contender("adv-lib", "apgd", _ALL, _adv_lib("apgd", "n_iter"), minimal=False),
    Contender("adv-lib", "fmn", _ALL, _adv_lib("fmn", "steps")),
    Contender("adv-lib", "ddn", ("l2",), _adv_lib("ddn", "steps")),
    Contender("adv-lib", "pdpgd", _ALL, _adv_lib("pdpgd", "num_steps")),
    Contender("adv-lib", "fab", _ALL, _adv_lib("fab", "n_iter"), passes_in=10),  # the gradient of every class
)


def measured(contender: Contender, subject: Subject, norm: Norm, passes: int) -> Record:
    """Distances of one attack in both forms, its gradients for each row, and its seconds."""
    right = predictions(subject.model, subject.images) == subject.labels
    at = np.flatnonzero(right)
    rows = Subject(subject.name, subject.model, subject.pixels[at], subject.labels[at], subject.classes)
    steps = max(1, passes // contender.passes_in // (1 if contender.minimal else ROUNDS))
    record: Record = {"library": contender.library, "attack": contender.attack, "norm": norm, "steps": steps}
    images: Tensor | None = None
    for form in FORMS:
        stored = form == "stored"
        counted, began = Counted(rows.frozen()), time.perf_counter()
        attempt = contender.make(counted, norm, steps, stored)
        if not contender.minimal:
            found = bisected(attempt, rows, norm, stored=stored)
        else:
            if images is None or contender.library == "hardset":  # the libraries know no grid: the same, rounded
                images = attempt(rows, np.full(len(rows), MOST[norm]))
            found = distances(rows, rounded(images) if stored else images, norm)
        whole = np.zeros(len(subject))
        whole[at] = found
        record[form] = {
            "distances": [round(float(one), 6) if np.isfinite(one) else None for one in whole],
            "gradients": round(counted.gradients / len(rows)),
            "seconds": round(time.perf_counter() - began, 1),
        }
    return record


def page(book: Record) -> str:
    """The page: a table for each model and norm, the best attacks first."""
    parts = ["# Optimality of attacks", _INTRODUCTION]
    for model, section in book.items():
        machine = section["machine"]
        versions = machine["versions"]
        used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "adv-lib") if name in versions)
        parts.append(f"## {model}")
        parts.append(f"{section['rows']} rows, {section['passes']:,} gradients a row; {used}; {machine['date']}.")
        for norm in NORMS:
            lines = [line for line in section.get("lines", {}).values() if line["norm"] == norm]
            if lines:
                parts.append(_table(norm, lines))
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """\
Of every row the distance of the nearest image that an attack finds, and from these AttackBench's optimality: 1 where an
attack is as near as the nearest of all in the table on every row, 0 where it finds nothing (Cina, Rony, Pintor and
others: AttackBench. AAAI 2025). *Floats*: what the attack returns. *Stored*: its 8-bit image, which has to fool the
model as well; those of hardset are searched on the 8-bit grid, those of libraries rounded to the nearest level. *Found*
is the share of rows with an image at any distance. All have the same number of gradients for each row; attacks of one
budget (apgd, pgd) spend them on ten budgets by bisection, and stop at a row's first fall. Settings other than steps are
each library's defaults; empty slots of a batch count as gradients, too. Written by
`python -m benchmarks.attackbench --data FOLDER`; every row's distance is in [attackbench.json](attackbench.json)."""


def _table(norm: Norm, lines: list[Record]) -> str:
    of = {form: [_distances(line, form) for line in lines] for form in FORMS}
    nearest = {form: np.min(of[form], axis=0) for form in FORMS}
    head = (
        f"### {STORED_NORMS[norm]}\n\n"
        "| library | attack | optimality, floats | optimality, stored | median, floats | median, stored |"
        " found, stored | gradients a row |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    told = []
    for number, line in enumerate(lines):
        scores = [optimality(of[form][number], nearest[form]) for form in FORMS]
        medians = [float(np.median(of[form][number][nearest[form] > 0])) for form in FORMS]
        found = 100 * float(np.isfinite(of["stored"][number]).mean())
        shown = [f"{score:.3f}" for score in scores] + [f"{median:.3f}" for median in medians]
        spent = line["stored"]["gradients"] or line["floats"]["gradients"]
        cells = [line["library"], f"`{line['attack']}`", *shown, f"{found:.1f} %", f"{spent:,}"]
        told.append((-scores[1], "| " + " | ".join(cells) + " |"))
    return "\n".join([head, *(text for _, text in sorted(told))])


def _distances(line: Record, form: str) -> NDArray[np.float64]:
    return np.array([np.inf if one is None else one for one in line[form]["distances"]])


def main() -> None:
    """Measures what the JSON lacks and rewrites the page after every line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="published models and their rows")
    parser.add_argument("--model", default=_MODEL)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--passes", type=int, default=1000, help="gradients for each row")
    parser.add_argument("--norm", choices=NORMS, action="append", help="may be repeated; default: all")
    parser.add_argument("--only", help="measure lines whose name contains this text, again where they are known")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of attackbench.json and attackbench.md")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    book = Book(given.out / "attackbench.json")
    subject = Published(given.data).subject(given.model, given.rows)
    before = book.read().get(given.model, {})
    if before and (before["rows"], before["passes"]) != (given.rows, given.passes):
        parser.error(f"the lines of {given.model} are of {before['rows']} rows and {before['passes']} passes")
    book.note(given.model, rows=given.rows, passes=given.passes, machine=describe(torch.device("cpu")))
    for norm in given.norm or NORMS:
        for contender in CONTENDERS:
            name = f"{norm}: {contender.library} {contender.attack}"
            installed = contender.library == "hardset" or LIBRARIES[contender.library].version
            if norm not in contender.norms or not installed or (given.only or "") not in name:
                continue
            book.line(
                given.model,
                name,
                lambda one=contender, norm=norm: measured(one, subject, norm, given.passes),  # type: ignore[misc]
                resume=given.only is None,
            )
            (given.out / "attackbench.md").write_text(page(book.read()), encoding="utf-8")


if __name__ == "__main__":
    main()
