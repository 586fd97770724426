"""Curves, tables and lines of an evaluation's report, held against its record."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hardset.pipeline.evaluation.stored import read_examples
from hardset.pipeline.reporting.curves import Curve, Value, curves
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.evaluation_curves import WORST, accuracy_curves
from hardset.pipeline.reporting.evaluation_natural import natural
from hardset.pipeline.reporting.evaluation_page import doubts, evaluation_page, headline
from hardset.pipeline.reporting.wording import percent
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.records.evaluation import Cell, Condition, Finding, Share


def cells(markup: str, caption: str) -> dict[str, list[str]]:
    """Lines of the table with a caption that begins so: row heading -> cells, tags removed."""
    table = re.search(rf"<table[^>]*><caption>{re.escape(caption)}.*?</table>", markup, re.S).group(0)
    found = {}
    for name, line in re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', table, re.S):
        shown = (re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line, re.S))
        found[re.sub(r"<[^>]+>", "", name)] = list(shown)
    return found


def test_every_attack_and_the_worst_of_them_are_told_at_every_budget(finished):
    record = finished[2].record
    drawn = str(accuracy_curves(EvaluationContent(record)))
    for model in record.models:
        for threat in model.threats:
            attacks = [attack for attack in model.attacks if attack.attack["norm"] == threat.norm]
            norm = STORED_NORMS[threat.norm]
            lines = cells(drawn, f"{model.name}: robust accuracy by attack and eps, {norm}")
            assert list(lines) == [*(attack.label for attack in attacks), *([WORST] if len(attacks) > 1 else [])]
            for attack in attacks:
                told = [cell for cell in lines[attack.label][1:] if cell != "\N{EN DASH}"]
                assert told == [percent(point.robust.value) for point in attack.points]
                assert lines[attack.label][0] == percent(model.clean.value)
            if len(attacks) > 1:
                told = [cell for cell in lines[WORST] if cell != "\N{EN DASH}"]
                assert told == [percent(point.robust.value) for point in threat.curve]


@pytest.mark.parametrize("budgets", [1, 2])
def test_a_single_budget_is_a_point_with_its_interval(finished, budgets):
    record = finished[2].record
    model = record.models[0]
    attacks = tuple(
        attack.model_copy(update={"points": attack.points[:budgets]})
        for attack in model.attacks
        if attack.attack["norm"] == model.threats[0].norm
    )
    threat = model.threats[0].model_copy(update={"curve": model.threats[0].curve[: budgets + 1]})
    model = model.model_copy(update={"attacks": attacks, "threats": (threat,)})
    drawn = str(accuracy_curves(EvaluationContent(record.model_copy(update={"models": (model,)}))))
    curves_drawn = len(attacks) + (len(attacks) > 1)
    assert drawn.count("<polyline") == drawn.count("<polygon") == (0 if budgets == 1 else curves_drawn)
    assert drawn.count("<circle") >= 2 * curves_drawn


def test_whiskers_span_the_interval():
    alone = Curve("a", (Value(0.5, 0.25, 1.0),), joined=False)
    drawn = str(curves("t", ["8/255"], [alone], "eps"))
    grid = dict(re.findall(r'y1="([\d.]+)" y2="\1"></line><text[^>]*>(\d+) %', drawn))
    places = {int(share): float(y) for y, share in grid.items()}
    ends = re.search(r'<line class="curve series-0" x1="([\d.]+)" x2="\1" y1="([\d.]+)" y2="([\d.]+)"', drawn)
    assert [float(end) for end in ends.groups()[1:]] == pytest.approx([places[25], places[100]])


def conditions(levels) -> tuple[Condition, ...]:
    names = ("brightness", "gaussian_noise")
    made = [
        Condition(name=name, level=level, right=Share(rows=90 - 10 * level - at, of=100, low=0.0, high=1.0))
        for at, name in enumerate(names)
        for level in levels
    ]
    return (*made, Condition(name="shift", level=2, right=Share(rows=31, of=100, low=0.2, high=0.4)))


def test_corruptions_are_lines_by_severity(finished):
    record = finished[2].record
    models = tuple(model.model_copy(update={"conditions": conditions(range(1, 6))}) for model in record.models)
    drawn = str(natural(EvaluationContent(record.model_copy(update={"models": models}))))
    assert drawn.count("<polyline") == 2 * len(models)
    assert re.findall(r"<figcaption>(.*?)</figcaption>", drawn) == ["Gaussian noise", "Brightness"], "the worst first"
    means = cells(drawn, "Mean accuracy over the severities")
    assert means == {
        "All corruptions": [percent(0.595)] * len(models),
        "Gaussian noise": [percent(0.59)] * len(models),
        "Brightness": [percent(0.60)] * len(models),
    }
    assert cells(drawn, "Brightness, with")["0"][0].startswith(percent(models[0].clean.value))
    assert cells(drawn, "Accuracy under shifts") == {"Shift, by up to 2 px": [percent(0.31)] * len(models)}


def test_one_severity_draws_no_line(finished):
    record = finished[2].record
    models = tuple(model.model_copy(update={"conditions": conditions([3])}) for model in record.models)
    drawn = str(natural(EvaluationContent(record.model_copy(update={"models": models}))))
    assert "<polyline" not in drawn
    assert cells(drawn, "Mean accuracy over the severities")["Brightness"] == [percent(0.6)] * len(models)


def test_rows_of_one_class_alone_are_no_accuracy(finished):
    record = finished[2].record
    words = "no figure here is the model's accuracy".replace("'", "&#x27;")
    assert words not in str(headline(EvaluationContent(record)))
    alone = tuple(
        model.model_copy(
            update={
                "classes": tuple(
                    one.model_copy(update={"support": one.support if one.label == 3 else 0}) for one in model.classes
                )
            }
        )
        for model in record.models
    )
    told = str(headline(EvaluationContent(record.model_copy(update={"models": alone}))))
    assert words in told
    assert f"one class, {record.classes[3]}" in told


def test_warnings_come_first_with_their_remedy(finished):
    doubt = Finding(kind="static_shard", model="trained", text="the figure says little; measure it again")
    content = EvaluationContent(finished[2].record.model_copy(update={"warnings": (doubt,)}))
    told = re.sub(r"<[^>]+>", "", str(doubts(content)))
    assert told == "trained: the figure says little.What to do: Measure it again."
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", evaluation_page(content))
    assert headings[:2] == ["Warnings", "Robustness"]


def test_a_thousand_classes_and_large_images_stay_a_light_page(finished):
    record, shown = finished[2].record, read_examples(Folder(str(finished[0])))
    names = tuple(f"class {n}, {'long name ' * 20}" for n in range(1000))
    figures = record.models[0].classes[0]
    models = tuple(
        model.model_copy(
            update={
                "classes": tuple(figures.model_copy(update={"label": n}) for n in range(1000)),
                "confusion_attacked": tuple(Cell(label=n, pred=n * 7 % 1000, rows=n) for n in range(1000)),
            }
        )
        for model in record.models
    )
    rng = np.random.default_rng(0)
    black, noise = np.zeros((224, 224, 3), np.uint8), rng.integers(0, 256, (224, 224, 3), np.uint8)
    large = tuple(replace(one, clean=black, attacked=noise) for one in shown[:16])
    changed = record.model_copy(update={"models": models, "classes": names})
    html = evaluation_page(EvaluationContent(changed, large))
    assert len(html.encode()) < 5_000_000
    assert html.count('class="sortable" data-fold="10"') >= len(models)


def test_a_page_shows_two_hundred_images_at_most(finished):
    record, (one, *_) = finished[2].record, read_examples(Folder(str(finished[0])))
    many = tuple(replace(one, attack=attack.label) for attack in record.models[0].attacks for _ in range(90))
    assert len(many) * 3 > 200
    assert 150 < evaluation_page(EvaluationContent(record, many)).count("<img") <= 200
    assert 70 < evaluation_page(EvaluationContent(record, many, images=100)).count("<img") <= 100
