"""Bake-off of GAN losses at equal CPU seconds of one thread, held against what is asked of the default settings.

    python -m benchmarks.gans --data FOLDER [--only TEXT ...] [--resume] [--out docs/benchmarks/gans.json]

Reads FOLDER/mnist_t10k.parquet, cifar10_test_jpeg.parquet and imagenet250.parquet, and published classifiers through
FOLDER/reference_models.py; the digits come with hardset. Writes the JSON after each line, and the page beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from benchmarks.attacks.cases import Published
from benchmarks.attacks.context import Book
from benchmarks.attacks.machine import describe
from benchmarks.gpu.subjects import digits
from torch import nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.gans.assessment import penultimate, sampled
from hardset.pipeline.gans.generator import Card, Generator
from hardset.pipeline.gans.quality import quality
from hardset.pipeline.gans.training import Hooks, train_generator
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.job.gan_training import GanTraining

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "gans.json"
DEFAULT, OTHER = "relativistic", "hinge"
CPU = torch.device("cpu")
_MADE = 2_000  # rows that are generated, and at most compared with
_SECTION = "lines"


@dataclass(frozen=True)
class Rows:
    """Images to train on and others to judge by, and the classifier that judges."""

    pixels: Pixels
    labels: Classes
    held_out: Pixels
    held_labels: Classes
    judge: nn.Module


@dataclass(frozen=True)
class Case:
    """One line of the table: rows, seconds, and what is asked of the default settings."""

    rows: Callable[[Published], Rows]
    seconds: float
    asked: Mapping[str, float]
    """By figure: the most of `distance` and `returns`, the least of all others."""
    classes: int = 10
    seeds: int = 1


def published(name: str, first: int | None, data: Published) -> Rows:
    """8,000 of 10,000 test images of a published classifier, or the `first` of them, and the 2,000 others."""
    subject = data.subject(name, 10_000)
    order = np.random.default_rng(0).permutation(len(subject.pixels))
    train, held = np.sort(order[:-2_000])[:first], np.sort(order[-2_000:])
    return Rows(
        subject.pixels[train], subject.labels[train], subject.pixels[held], subject.labels[held], subject.frozen()
    )


def bundled(data: Published) -> Rows:
    """Four fifths of the digits, and a classifier fitted to them."""
    pixels, labels = digits()
    held = len(pixels) // 5
    module = fit_classifier(small_cnn(), pixels[:-held], labels[:-held], epochs=8, seed=0).requires_grad_(False)
    return Rows(pixels[:-held], labels[:-held], pixels[-held:], labels[-held:], module)


def photographs(side: int, data: Published) -> Rows:
    """200 of 250 photographs as one class, as no class has two."""
    subject = data.subject("mobilenet_v1_0.25_128", 250)
    pixels = shrunk(subject.pixels, side)
    none = np.zeros(len(pixels), np.int64)
    return Rows(pixels[:200], none[:200], pixels[200:], none[200:], subject.frozen())


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """Images with sides a whole number of times shorter: means over squares."""
    count, height, width, channels = pixels.shape
    tall, wide = height // side, width // side
    means = pixels.reshape(count, side, tall, side, wide, channels).mean((2, 4))
    levels: Pixels = np.rint(means).astype(np.uint8)
    return levels


_MNIST, _CIFAR = "mnist_fast_fgsm", "cifar_resnet20"
CASES = {
    "MNIST, 45 s": Case(
        partial(published, _MNIST, None), 45, {"distance": 9, "recall": 0.85, "agreement": 0.93}, seeds=3
    ),
    "MNIST, 500 rows, 45 s": Case(partial(published, _MNIST, 500), 45, {"distance": 13}),
    "digits, 30 s": Case(bundled, 30, {}, seeds=3),
    "CIFAR-10, 400 s": Case(
        partial(published, _CIFAR, None), 400, {"distance": 6, "agreement": 0.35, "coverage": 0.55}
    ),
    "MNIST, 300 s": Case(partial(published, _MNIST, None), 300, {"distance": 4.2, "agreement": 0.975}),
    "photographs of 64 px, 90 s": Case(partial(photographs, 64), 90, {"returns": 0}, classes=1),
}


def lines() -> Iterator[tuple[str, str, int]]:
    """Case, loss and seed of every line, in the order in which they are worth measuring."""
    yield from ((name, DEFAULT, 0) for name in CASES)
    yield from ((name, OTHER, 0) for name, case in CASES.items() if case.seconds <= 90)
    yield from ((name, DEFAULT, seed) for name, case in CASES.items() for seed in range(1, case.seeds))


def main() -> None:
    """Measures the lines one by one and rewrites the page after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of the lines to measure")
    parser.add_argument("--resume", action="store_true", help="skip lines that the JSON already has")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    book = Book(arguments.out)
    book.note("machine", **describe(CPU))
    for name, loss, seed in lines():
        key = f"{name}; {loss}, seed {seed}"
        if any(part in key for part in arguments.only):
            measure = partial(measured, Published(arguments.data), name, loss, seed)
            book.line(_SECTION, key, measure, resume=arguments.resume)
            arguments.out.with_suffix(".md").write_text(page(book.read()), encoding="utf-8")


def measured(data: Published, name: str, loss: str, seed: int) -> dict[str, Any]:
    """Trains and judges a generator."""
    case = CASES[name]
    rows, back = case.rows(data), list[int]()
    began = time.process_time()
    generator = train_generator(
        rows.pixels,
        rows.labels,
        classes=case.classes,
        settings=GanTraining.model_validate({"loss": loss, "seconds": case.seconds}),
        seed=seed,
        device=CPU,
        hooks=Hooks(clock=time.process_time, on_return=lambda step, _: back.append(step)),
    )
    spent = time.process_time() - began
    assert isinstance(generator.card, Card)
    return {
        "case": name,
        "loss": loss,
        "seed": seed,
        "cpu_seconds": round(spent, 1),
        "steps": generator.card.training.steps,
        "returns": len(back),
        **judged(generator, rows),
    }


def judged(generator: Generator, rows: Rows) -> dict[str, float]:
    """Figures of 2,000 generated rows against the held-out ones, in the features of the judge."""
    count = min(_MADE, max(len(rows.held_out), 10))
    made, asked = sampled(generator, count, 1, CPU)
    features, logits = penultimate(rows.judge, made, device=CPU)
    real, answers = penultimate(rows.judge, rows.held_out, device=CPU)
    picked = np.random.default_rng(1).permutation(len(rows.pixels))[:count]
    trained_on, _ = penultimate(rows.judge, rows.pixels[picked], device=CPU)
    found = asdict(quality(real, features, trained_on))
    figures = {"distance": found.pop("fd_target"), "floor": found.pop("fd_floor"), **found}
    if generator.card.classes > 1:
        figures |= {
            "agreement": float((logits.argmax(1).numpy() == asked).mean()),
            "judge": float((answers.argmax(1).numpy() == rows.held_labels).mean()),
        }
    return {name: round(value, 4) for name, value in figures.items()}


def page(found: Mapping[str, Any]) -> str:
    """The page: what was asked and reached, then every line."""
    machine, measured_lines = found["machine"], found[_SECTION]["lines"].values()
    head = (
        "# Generators\n\nTrained for CPU seconds of one thread and judged by features of a classifier: "
        f"{_MADE:,} generated rows against as many real ones, or as many as there are, held out of the training. FD is "
        "the squared Fréchet distance; its floor is that of training rows. No average is selected here: the last is "
        f"judged. {machine['cpu']}, {machine['cores']} cores shared with other work; "
        f"torch {machine['versions']['torch']}. "
        "Written by `python -m benchmarks.gans`.\n"
    )
    return "\n".join([head, *_asked(list(measured_lines)), "", *_table(list(measured_lines))]) + "\n"


def _asked(measured_lines: list[Mapping[str, Any]]) -> list[str]:
    told = [
        "## What is asked of the defaults",
        "",
        "Medians over the seeds.",
        "",
        "| asked of | figure | reached | asked | met |",
    ]
    told.append("|---|---|---|---|---|")
    for name, case in CASES.items():
        ours = [line for line in measured_lines if (line["case"], line["loss"]) == (name, DEFAULT)]
        for figure, bound in case.asked.items() if ours else ():
            reached, most = median(line[figure] for line in ours), figure in ("distance", "returns")
            met = "yes" if (reached <= bound if most else reached >= bound) else "**no**"
            sign = "at most" if most else "at least"
            told.append(f"| {name} | {_NAMES.get(figure, figure)} | {reached:.3g} | {sign} {bound:g} | {met} |")
    return told


_NAMES = {"distance": "FD", "returns": "times that it diverged"}


def _table(measured_lines: list[Mapping[str, Any]]) -> list[str]:
    names = ("agreement", "judge", "distance", "floor", "precision", "recall", "coverage")
    head = " | ".join(_NAMES.get(name, name) for name in names)
    told = [
        "## Every line",
        "",
        f"| rows | loss | seed | CPU s | steps | {head} |",
        "|---|---|" + "---|" * (3 + len(names)),
    ]
    order = {name: place for place, name in enumerate(CASES)}
    for line in sorted(measured_lines, key=lambda one: (order[one["case"]], one["loss"] != DEFAULT, one["seed"])):
        cells = ["" if name not in line else f"{line[name]:.2f}" for name in names]
        first = (line["case"], line["loss"], line["seed"], f"{line['cpu_seconds']:.0f}", f"{line['steps']:,}")
        told.append(f"| {' | '.join(map(str, first))} | {' | '.join(cells)} |")
    told += [
        "",
        "`judge` is the accuracy of the classifier on the real rows. The floor of few rows is high, and FD of the "
        "photographs is that of 50 rows in 256 features, which only tells lines apart.",
    ]
    return told


if __name__ == "__main__":
    main()
