"""What the sections of a run's report say, held against the rows themselves."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.reporting.attack_sections import budgets
from hardset.pipeline.reporting.class_table import classes
from hardset.pipeline.reporting.confusion_section import confusion
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.history_section import MOST_NIGHTS, history
from hardset.pipeline.reporting.key_figures import key_figures
from hardset.pipeline.reporting.page import page
from hardset.pipeline.reporting.warnings_section import warnings
from hardset.pipeline.statistics.attack_tallies import by_part, confused, parts_of
from hardset.pipeline.statistics.recipe_statistics import RowCounts, gather
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.run import Changes
from hardset.schemas.records.summary import Summary
from tests.reporting.conftest import made
from tests.reporting.dataset import STRONG, TARGETED, Setting
from tests.reporting.test_examples import columns
from tests.reporting.test_page import Outline


def words(markup) -> str:
    return " ".join(Outline(str(markup)).words().replace("\N{NO-BREAK SPACE}", " ").split())


def test_confusion_counts_the_attacked_rows(digits):
    rows = columns(digits, ("kind", "label", "target_label", "clean_pred", "pred"))
    for recipe in digits.content.statistics.attacks:
        mine = rows[recipe.recipe_id]
        attacked = [row for row in mine if row["target_label"] is not None or row["clean_pred"] == row["label"]]
        assert recipe.confusion == Counter((row["clean_pred"], row["pred"]) for row in attacked)
    total = sum((Counter(recipe.confusion) for recipe in digits.content.statistics.attacks), Counter())
    cells = re.findall(r'<th scope="row">(\d)</th>(.*?)</tr>', str(confusion(digits.content)), re.S)[:10]
    for before, line in cells:
        shown = [int(cell.replace(",", "") or 0) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)]
        assert shown == [total[int(before), after] for after in range(10)]


def test_many_classes_have_their_most_frequent_confusions(digits):
    statistics = digits.content.statistics
    names = tuple(f"name {n}" for n in range(1000))
    many = replace(statistics, manifest=statistics.manifest.model_copy(update={"classes": names}))
    shown = str(confusion(Content(many)))
    total = sum((Counter(recipe.confusion) for recipe in statistics.attacks), Counter())
    (before, after), most = max(((pair, n) for pair, n in total.items() if pair[0] != pair[1]), key=lambda one: one[1])
    assert words(shown).find(f"name {before} name {after} {most}") > 0
    assert 'data-fold="10"' in shown
    assert 'class="heat"' not in shown


def batch(**columns):
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.booleans()), max_size=40),
    st.integers(0, 40),
)
def test_confusion_does_not_depend_on_batches(rows, cut):
    def seen(part):
        label, clean, stored, judged = zip(*part, strict=True) if part else ((),) * 4
        return batch(
            kind=pa.array(["adversarial"] * len(part), pa.string()),
            label=pa.array(label, pa.int64()),
            target_label=pa.nulls(len(part), pa.int64()),
            clean_pred=pa.array(clean, pa.int64()),
            pred=pa.array([s if j else None for s, j in zip(stored, judged, strict=True)], pa.int64()),
            success=pa.array([False] * len(part), pa.bool_()),
        )

    expected = Counter((clean, stored) for label, clean, stored, judged in rows if label == clean and judged)
    assert confused(confused({}, seen(rows[:cut])), seen(rows[cut:])) == expected


@pytest.mark.parametrize(
    ("low", "high", "norm", "edges"),
    [
        ("8/255", "16/255", "linf", [*range(8, 17)]),
        ("8/255", "0.15", "linf", [*range(8, 41, 4)]),
        ("0.1", "0.9", "l2", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("1/255", "1/255", "linf", []),
    ],
)
def test_ranges_of_budgets_are_cut_at_whole_places(low, high, norm, edges):
    found = parts_of({"min": low, "max": high}, norm)
    assert np.allclose(np.array(found) * (255 if norm == "linf" else 1), edges)
    assert parts_of("8/255", norm) == parts_of(["1/255", "2/255"], norm) == ()


@given(st.integers(1, 60), st.integers(1, 60), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_every_row_of_a_range_is_counted_once(low, width, drawn):
    text = {"min": str(Fraction(low, 255)), "max": str(Fraction(low + width, 255))}
    edges = parts_of(text, "linf")
    assert 1 <= len(edges) - 1 <= 8 + 1
    eps = [(low + share * width) / 255 for share in drawn]
    rows = batch(
        kind=pa.array(["adversarial"] * len(eps)),
        eps=pa.array(eps, pa.float64()),
        label=pa.array([0] * len(eps), pa.int64()),
        target_label=pa.nulls(len(eps), pa.int64()),
        clean_pred=pa.array([0] * len(eps), pa.int64()),
        success=pa.array([True] * len(eps)),
    )
    tallies = by_part((), rows, edges)
    assert sum(attacked for attacked, _ in tallies) == sum(success for _, success in tallies) == len(eps)
    for (attacked, _), first, last in zip(tallies, edges[:-1], edges[1:], strict=True):
        assert attacked <= sum(first - 1e-6 <= one <= last + 1e-6 for one in eps)


def test_the_class_fooled_most_comes_first_and_a_thousand_fold(digits):
    statistics = digits.content.statistics
    shown = re.findall(r'<tr><th scope="row">(.*?)</th>', str(classes(digits.content)))
    rates = [
        sum(recipe.by_class[int(label)].success for recipe in statistics.attacks)
        / sum(recipe.by_class[int(label)].attacked for recipe in statistics.attacks)
        for label in shown
    ]
    assert sorted(shown) == [str(label) for label in range(10)]
    assert rates == sorted(rates, reverse=True)
    assert 'class="sortable" data-fold="10"' in str(classes(digits.content))


def test_accuracy_of_one_class_is_not_called_the_models(digits):
    statistics = digits.content.statistics
    assert "Clean accuracy" in words(key_figures(digits.content))

    def alone(tallies):
        return tuple(tally if label == 4 else RowCounts() for label, tally in enumerate(tallies))

    recipes = tuple(replace(recipe, by_class=alone(recipe.by_class)) for recipe in statistics.recipes)
    told = words(key_figures(Content(replace(statistics, recipes=recipes))))
    assert "Clean accuracy" not in told
    assert "Class 4 read rightly" in told


def test_warnings_come_first_with_their_remedy(digits, hostile):
    manifest = digits.manifest.model_copy(update={"warnings": ("the gradient vanished; so rows stand; use square",)})
    content = Content(replace(digits.content.statistics, manifest=manifest))
    assert "Warning: the gradient vanished; so rows stand. What to do: Use square." in words(warnings(content))
    html = page(hostile.content)
    assert html.index('class="notices"') < html.index('class="figures"') < html.index("<h2")
    told = words(warnings(hostile.content))
    assert told.count("Warning:") == told.count("What to do:") == 2


def test_quarantined_rows_are_pictured_as_the_source_has_them(tmp_path):
    records = [
        {"source_key": f"digits#{n}", "source_index": n, "stage": "make", "error_class": "Nan", "message": "x"}
        for n in (3, 4, 5, 6)
    ]
    records += [{"source_key": "gone.png", "stage": "read", "error_class": "Broken", "message": "y"}]
    dataset = made(str(tmp_path / "out"), Setting(rows=30, recipes=(STRONG,), quarantine=tuple(records)))
    lost = dataset.content.lost
    assert [row.source_key for row in lost["make", "Nan"]] == ["digits#3", "digits#4", "digits#5"], "the first three"
    plan = Ledger(dataset.folder, dataset.manifest.run_id).plan()
    examples = [example for shown in dataset.content.examples.values() for example in shown]
    assert all(row.pixels.shape == examples[0].made.shape for row in lost["make", "Nan"])
    assert plan is not None
    for row in lost["make", "Nan"]:
        same = [example for example in examples if example.row["source_key"] == row.source_key]
        assert all((example.clean == row.pixels).all() for example in same)
    assert [row.pixels for row in lost["read", "Broken"]] == [None]
    html = page(dataset.content)
    assert html.count('alt="Source row digits#') == 3
    assert "no picture" in html


def nights(digits, number):
    one = Summary.of(digits.manifest)
    return tuple(
        one.model_copy(
            update={
                "run_id": f"{at:08d}",
                "logical_date": f"2026-{1 + at // 28:02d}-{1 + at % 28:02d}",
                "totals": one.totals.model_copy(update={"rows_out": 1000 + at}),
                "clean": CleanAccuracy.of(90, 100),
                "changes": Changes(since="r", counts={"new": at, "changed": 0, "vanished": 2}) if at else None,
            }
        )
        for at in range(number)
    )


def test_history_tells_every_night_and_what_changed(digits):
    assert history(digits.content) is None, "one run has no history"
    runs = nights(digits, 40)
    drawn = history(Content(digits.content.statistics, history=runs))
    told = words(drawn)
    assert f"{MOST_NIGHTS} finished runs of this output, 10 older ones aside" in told
    assert "Files: 39 new, 2 vanished" in told
    assert re.search(r"Rows 1,039, \+0\.1 %", told)
    labels = [a["aria-label"] for a in Outline(str(drawn)).all("svg")]
    assert [label.partition(" by night")[0] for label in labels] == [
        *("Rows", "Attack success", "Clean accuracy", "Time", "Size")
    ]
    assert str(drawn).count('class="night') == 5 * MOST_NIGHTS
    assert runs[0].bytes == sum(file.bytes for file in digits.manifest.data_files)


def test_the_page_reads_the_history_of_its_folder(digits):
    assert [run.run_id for run in digits.content.history] == [digits.manifest.run_id]


def test_drawn_budgets_have_a_curve_by_part(tmp_path):
    recipe = {**STRONG, "eps": {"min": "8/255", "max": "16/255"}}
    dataset = made(str(tmp_path / "out"), Setting(rows=40, recipes=(recipe, TARGETED)))
    (ranged, single) = gather(dataset.folder, dataset.manifest).recipes
    assert sum(attacked for attacked, _ in ranged.by_part) == ranged.tally.attacked
    assert single.by_part == ()
    assert ranged.by_part[-1][0] == ranged.tally.attacked, "they all draw the largest"
    told = tuple((10, number) for number in range(8))
    statistics = dataset.content.statistics
    recipes = (replace(statistics.recipes[0], by_part=told), statistics.recipes[1])
    drawn = str(budgets(Content(replace(statistics, recipes=recipes))))
    assert drawn.count('<polyline class="curve') == 1, "a recipe with one budget draws no line"
    assert "eps, in 8-bit levels" in drawn
    assert re.findall(r">(\d+)\N{EN DASH}(\d+)</text>", drawn) == [(str(at), str(at + 1)) for at in range(8, 16)]
    assert "7 of 10" in words(drawn)
