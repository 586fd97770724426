"""What the benchmarks say is what they measured: their judge, their reference, their counting and their page.

The libraries that they compare with are not installed here; the parts that need those run in `make bench-attacks`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import attackbench, gans
from benchmarks.attacks import page
from benchmarks.attacks.adapters import LIBRARIES, _restarted
from benchmarks.attacks.cases import Published, Settings, Subject
from benchmarks.attacks.context import Book
from benchmarks.attacks.counting import Counted
from benchmarks.attacks.judge import judge_floats, judge_stored, predictions, stored_as
from benchmarks.attacks.ours import warnings_of
from benchmarks.attacks.timing import Contender, take_turns
from benchmarks.peers.page import page as peers_page
from benchmarks.peers.watched import watched
from torch import nn

from hardset.pipeline.gans.generator import Generator, Output
from hardset.schemas.job.recipes import Attack

EPS = Fraction(2, 255)
ROOT = Path(__file__).parents[1]


class Bright(nn.Module):
    """Class 1 where the mean pixel is above one half, else 0."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = images.flatten(1).mean(1) - 0.5
        return torch.stack((-score, score), dim=1)


@pytest.fixture
def subject() -> Subject:
    levels = np.array([120, 127, 128, 129, 140], np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (5, 2, 2, 1)).copy()
    return Subject("bright", Bright(), pixels, np.array([0, 0, 1, 1, 1]), 2)


def shifted(subject: Subject, levels: float) -> torch.Tensor:
    return subject.images + torch.tensor([levels, levels, -levels, -levels, -levels]).view(-1, 1, 1, 1) / 255


def test_floats_are_judged_as_they_are_and_the_budget_is_watched(subject):
    model, images, labels = subject.model, subject.images, subject.targets
    assert judge_floats(model, images, images, labels, EPS).robust == 100
    within = judge_floats(model, shifted(subject, 2), images, labels, EPS)
    assert (within.robust, within.over_budget) == (40, 0)
    beyond = judge_floats(model, shifted(subject, 2.1), images, labels, EPS)
    assert beyond.over_budget == 5


def test_a_stored_row_over_budget_counts_as_its_clean_image(subject):
    moved = stored_as(shifted(subject, 20), subject.pixels, EPS, clamp=False)
    verdict = judge_stored(subject.model, moved, subject.pixels, subject.labels, EPS)
    assert (verdict.robust, verdict.fallen, verdict.over_budget) == (100, 0, 5)
    held = stored_as(shifted(subject, 20), subject.pixels, EPS, clamp=True)
    verdict = judge_stored(subject.model, held, subject.pixels, subject.labels, EPS)
    assert (verdict.robust, verdict.fallen, verdict.over_budget) == (40, 3, 0)


def test_a_row_that_was_wrong_before_has_not_fallen(subject):
    labels = 1 - subject.labels
    verdict = judge_stored(subject.model, subject.pixels, subject.pixels, labels, EPS)
    assert (verdict.robust, verdict.fallen) == (0, 0)


@pytest.mark.parametrize(("levels", "stored"), [(0.4, 0), (0.6, 1), (1.4, 1)])
def test_storing_rounds_to_nearest(subject, levels, stored):
    pixels = stored_as(shifted(subject, levels), subject.pixels, EPS, clamp=False)
    assert (np.abs(pixels.astype(int) - subject.pixels) == stored).all()


def test_clamping_leaves_whole_levels_of_the_budget(subject):
    pixels = stored_as(shifted(subject, 9), subject.pixels, Fraction(5, 510), clamp=True)
    assert (np.abs(pixels.astype(int) - subject.pixels) == 2).all()


def test_predictions_do_not_depend_on_the_number_of_rows(subject):
    many = subject.images.repeat(60, 1, 1, 1)
    assert predictions(subject.model, many).tolist() == subject.labels.tolist() * 60


def test_contenders_take_turns_in_an_order_that_turns_around():
    order: list[str] = []
    contenders = [
        Contender(name, lambda name=name: order.append(name), lambda name=name: order.append(f"warm {name}"))
        for name in "ab"
    ]
    times, _ = take_turns(contenders, 3)
    assert order == ["warm a", "warm b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(one.wall) for name, one in times.items()} == {"a": 3, "b": 3}


def test_a_counted_model_tells_gradients_from_queries(subject):
    counted = Counted(subject.model)
    images = subject.images.requires_grad_(True)
    logits = counted(images)
    for column in (0, 1):
        torch.autograd.grad(logits[:, column].sum(), images, retain_graph=True)
    with torch.no_grad():
        counted(images)
    assert (counted.gradients, counted.queries) == (10, 5)


def test_restarts_go_to_rows_that_resist(subject):
    asked: list[int] = []

    def attack(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return images + (1 - 2 * labels).view(-1, 1, 1, 1) * len(asked) / 255

    settings = Settings("pgd", EPS, EPS, steps=1, restarts=3)
    _restarted(attack, subject.model, settings)(subject.images, subject.targets)
    assert asked == [5, 3, 2]


def test_an_interrupted_book_goes_on_where_it_was(tmp_path):
    book = Book(tmp_path / "benchmarks" / "attacks.json")
    book.line("speed", "one", lambda: {"value": 1}, resume=True)
    book.line("speed", "one", lambda: {"value": 2}, resume=True)
    assert book.read()["speed"]["lines"]["one"] == {"value": 1}
    book.line("speed", "one", lambda: {"value": 3}, resume=False)
    assert book.read()["speed"]["lines"]["one"] == {"value": 3}
    book.clear("speed")
    assert book.read() == {}


MACHINE = {
    "date": "2030-01-02",
    "cpu": "A processor",
    "cores": 2,
    "threads": 2,
    "vector_units": ["avx2"],
    "accelerator": None,
    "load_at_start": 0.25,
    "versions": {"python": "3.11", "torch": "2.0", "foolbox": "3.0"},
}
SPEED = {
    "work": {
        "title": "PGD",
        "model": "net",
        "rows": 128,
        "times": {
            "foolbox": {"seconds": 8.0, "cpu_seconds": 16.0, "rounds": [8.0]},
            "hardset, float32": {"seconds": 3.0, "cpu_seconds": 6.0, "rounds": [3.0]},
            "hardset, bfloat16": {"seconds": 2.0, "cpu_seconds": 4.0, "rounds": [2.0]},
        },
        "ratios": {"foolbox": {"hardset, float32": 8 / 3, "hardset, bfloat16": 4.0}},
        "at_least": {"foolbox": 4},
    }
}


def test_the_page_shows_ratios_and_whether_they_suffice():
    text = page.speed(SPEED)
    assert "| PGD; net, 128 rows | foolbox | 2.7x | 4.0x | 4x | yes |" in text
    slower = json.loads(json.dumps(SPEED))
    slower["work"]["ratios"]["foolbox"]["hardset, bfloat16"] = 3.9
    assert "| 2.7x | 3.9x | 4x | **no** |" in page.speed(slower)


@pytest.mark.parametrize(("fallen", "met"), [(165, "yes"), (164, "**no**")])
def test_the_page_says_how_many_stored_rows_were_wanted(fallen, met):
    line = {
        "title": "standard", "model": "net", "eps": "3/10", "rows": 1000, "of_rows": 1000, "at_least": 165,
        "stored": {"fallen": fallen, "over_budget": 0},
    }  # fmt: skip
    assert f"| {fallen} | 0 | >= 165 | {met} |" in page.stored({"standard": line})


def test_sections_replace_what_stands_between_their_markers_alone():
    before = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    after = page.filled(before, {"speed": {"machine": MACHINE, "lines": SPEED}})
    assert "| foolbox | 2.7x" in after
    assert "A processor, 2 cores (avx2); 2 threads for everyone; torch 2.0, foolbox 3.0" in after
    assert page.filled(after, {}) == page.filled(before, {})
    outside = re.compile(r"<!-- attacks:(\w+) -->.*?<!-- /attacks:\1 -->", re.DOTALL)
    assert outside.sub("", after) == outside.sub("", before)


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="attacks:speed"):
        page.between("# Page", "speed", "text")


def test_the_page_is_what_its_figures_give():
    figures = ROOT / "docs" / "benchmarks" / "attacks.json"
    if not figures.exists():
        pytest.skip("no figures of make bench-attacks are kept")
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page.filled(text, json.loads(figures.read_text(encoding="utf-8"))) == text


def test_the_extra_names_the_libraries_that_are_compared():
    extra = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\nbench = [")[2].partition("]")[0]
    assert {library.package for library in LIBRARIES.values()} == set(re.findall(r'"([a-z-]+)==', extra))


def test_a_job_with_a_budget_below_one_level_is_warned(subject):
    assert any("8-bit level" in text for text in warnings_of(subject, Attack(name="pgd", eps="0.5/255")))
    assert warnings_of(subject, Attack(name="pgd", eps="1/255")) == ()


def test_the_page_of_the_loader_is_what_its_figures_give():
    from benchmarks import loader

    figures = ROOT / "docs" / "benchmarks" / "loader.json"
    assert figures.with_suffix(".md").read_text(encoding="utf-8") == loader.page(json.loads(figures.read_text()))


def test_the_page_of_augmentation_is_what_its_figures_give():
    from benchmarks.augment import page

    figures = ROOT / "docs" / "benchmarks" / "augment.json"
    assert figures.with_suffix(".md").read_text(encoding="utf-8") == page.text(json.loads(figures.read_text()))


def test_the_page_of_augmentation_does_without_libraries_that_are_not_there():
    from benchmarks.augment import page

    figures = json.loads((ROOT / "docs" / "benchmarks" / "augment.json").read_text())
    for line in (line for side in figures["sides"].values() for line in side.values()):
        for library in page.LIBRARIES:
            line.pop(library, None)
    assert {what for what, _, _ in page.targets(figures)} == {
        "224 px glass blur, rows/s",
        "end to end, share of augmentation (at most)",
    }
    told = page.text(figures)
    assert "| glass_blur | " in told and "albumentations 2.0.8" in told


def test_the_page_of_sources_holds_its_figures_of_every_format() -> None:
    from benchmarks import sources

    from hardset.pipeline.sources.table import SOURCES

    figures = ROOT / "docs" / "benchmarks" / "sources.json"
    assert figures.with_suffix(".md").read_text(encoding="utf-8") == sources.page(json.loads(figures.read_text()))
    assert {*sources.WRITERS, "digits"} == SOURCES.keys(), "digits are bundled, and need no reading"


def test_optimality_is_the_area_between_the_curves_of_an_attack_and_of_the_nearest():
    nearest = np.array([0.0, 1.0, 2.0, 4.0])
    assert attackbench.optimality(nearest, nearest) == 1
    assert attackbench.optimality(np.array([0.0, np.inf, np.inf, np.inf]), nearest) == 0
    # Accuracy 3/4 up to 2, 1/2 up to 4: an area of 2.5 of the 3 that nothing found has; the nearest leave 1.75.
    assert attackbench.optimality(np.array([0.0, 2.0, np.inf, 9.0]), nearest) == pytest.approx(0.5 / 1.25)


def test_a_bisection_finds_the_smallest_change_that_crosses_the_border(subject):
    def attempt(rows, budgets):
        step = torch.from_numpy(budgets).float() * torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0])
        return rows.images + step.view(-1, 1, 1, 1)

    found = attackbench.bisected(attempt, subject, "linf", stored=False)
    assert found == pytest.approx(np.abs(subject.pixels[:, 0, 0, 0] / 255 - 0.5), abs=2**-attackbench.ROUNDS)
    stored = attackbench.bisected(attempt, subject, "linf", stored=True)
    assert np.rint(stored * 255).tolist() == [8, 1, 1, 2, 13]


def test_distances_are_those_of_images_that_fool(subject):
    moved = shifted(subject, 2)
    assert attackbench.distances(subject, moved, "linf") * 255 == pytest.approx([np.inf, 2, 2, 2, np.inf], rel=1e-5)
    assert attackbench.distances(subject, moved, "l2")[1] * 255 == pytest.approx(4, rel=1e-5)
    assert attackbench.distances(subject, moved, "l1")[1] * 255 == pytest.approx(8, rel=1e-5)


def test_the_page_of_generators_is_what_its_figures_give():
    found = ROOT / "docs" / "benchmarks" / "gans.json"
    assert gans.page(json.loads(found.read_text())) == found.with_suffix(".md").read_text()


def test_the_page_of_generators_tells_medians_over_the_seeds_and_whether_they_suffice():
    line = {"case": "MNIST, 45 s", "loss": "relativistic", "cpu_seconds": 45.0, "steps": 600, "returns": 0}
    figures = [(10.0, 0.9, 0.92), (4.0, 0.8, 0.95), (8.0, 0.7, 0.94)]
    lines = {
        str(seed): {**line, "seed": seed, "distance": distance, "recall": recall, "agreement": agreement}
        for seed, (distance, recall, agreement) in enumerate(figures)
    }
    told = gans.page({"machine": MACHINE, "lines": {"lines": lines}})
    assert "| MNIST, 45 s | FD | 8 | at most 9 | yes |" in told
    assert "| MNIST, 45 s | recall | 0.8 | at least 0.85 | **no** |" in told
    assert "| MNIST, 45 s | agreement | 0.94 | at least 0.93 | yes |" in told
    assert "CIFAR" not in told.partition("## Every line")[0].partition("| asked of |")[2]


class Copying(nn.Module):
    """Generator that copies rows of the class: any of them, or the first alone."""

    def __init__(self, rows: gans.Rows, *, collapsed: bool) -> None:
        super().__init__()
        self.rows = [rows.pixels[rows.labels == number][: 1 if collapsed else None] for number in range(10)]

    def forward(self, latents: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        places = (latents[:, 0].abs() * 1e4).long().tolist()
        made = [self.rows[c][p % len(self.rows[c])] for c, p in zip(classes.tolist(), places, strict=True)]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2) / 255


def test_the_judge_of_generators_tells_copies_of_all_rows_from_copies_of_a_few():
    rows = gans.bundled(Published(ROOT / "nowhere"))
    output = Output(latent=1, height=8, width=8, channels=1, classes=10)
    whole, few = (gans.judged(Generator(Copying(rows, collapsed=c), output), rows) for c in (False, True))
    assert whole["agreement"] > 0.95 and few["agreement"] > 0.95 and whole["judge"] > 0.9
    assert whole["distance"] < 1.5 * whole["floor"] < few["distance"]
    assert few["coverage"] < whole["coverage"] / 2 and few["recall"] < whole["recall"] / 2


def test_cpu_seconds_are_those_of_all_processes_that_a_command_starts():
    """Also of one whose parent is gone before it, and not of one that only waits."""
    busy = "import time; end = time.process_time() + 1.5\nwhile time.process_time() < end: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    found = watched([sys.executable, "-c", child], os.environ)
    assert found.code == 0
    assert 1.0 < found.cpu_seconds < 4
    assert found.seconds > 1.4
    assert watched([sys.executable, "-c", "import sys; sys.exit('no')"], os.environ).error == "no\n"


def test_the_page_of_peers_says_what_was_measured_and_that_the_machine_was_busy():
    median = {"seconds": 10.0, "cpu_seconds": 8.0, "rows_per_s": 51.2, "rows_per_cpu_s": 64.0, "megabytes": 1.5}
    slow = median | {"rows_per_s": 25.6, "rows_per_cpu_s": 16.0}
    shares = {"fooled": 92.5, "lost": 0.25, "over_budget": 3.0}
    case = {
        **{"title": "FGSM", "rows": 512, "made": 512, "rounds": 2, "date": "2026-11-28", "load": 9.0},
        "medians": {"hardset": median, "ray_foolbox": slow},
        "ratios": {"ray_foolbox": {"rows_per_s": 2.0, "rows_per_cpu_s": 4.0}},
        "stored": {"hardset": shares, "ray_foolbox": shares},
    }
    figures = {
        "machine": {"cpu": "a CPU", "cores": 2, "torch": "2.13", "ray": "2.60"},
        "libraries": {"foolbox": "3.3.4"},
        "cases": {"fgsm": case},
    }
    told = peers_page(figures)
    assert "512 rows, 2 rounds, 2026-11-28, load 9.0 at the end; the machine was busy with other work." in told
    assert "no ratio to rely on" in told
    row = "| Ray Data and foolbox | 10.0 | 8.0 | 25.6 | 16.0 | 1.50 | 2.00 | 4.00 | 92.5 % | 0.2 % | 3.0 % |"
    assert row in told.splitlines()
    quiet = peers_page(figures | {"cases": {"fgsm": case | {"load": 1.0, "rounds": 3}}}).partition("## FGSM")[2]
    assert "busy" not in quiet
    assert "no ratio" not in quiet
