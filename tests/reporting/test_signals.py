"""The report's section on masked gradients: there where a run warns, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardset.pipeline.judging.masking import run_warnings
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.page import page
from hardset.schemas.rows.flags import FLAGS
from tests.reporting.conftest import EVIL
from tests.reporting.test_page import Outline


@pytest.fixture
def masked(digits) -> Content:
    """The content of a run whose second recipe met no gradient on a tenth of its rows."""
    statistics = digits.content.statistics
    outputs = tuple(
        output.model_copy(update={"counts": output.counts.model_copy(update={"signals": {"flag:zero_gradient": 10}})})
        if output.recipe == 1
        else output
        for output in statistics.manifest.outputs
    )
    warnings = run_warnings(statistics.manifest.job["recipes"], outputs)
    manifest = statistics.manifest.model_copy(update={"outputs": outputs, "warnings": warnings})
    recipes = tuple(
        replace(recipe, counts=sum((o.counts for o in outputs if o.recipe == recipe.position), type(recipe.counts)()))
        for recipe in statistics.recipes
    )
    return Content(replace(statistics, manifest=manifest, recipes=recipes), digits.content.examples)


def test_a_run_that_warns_has_the_section_with_figures_and_remedy(masked):
    html = page(masked)
    outline = Outline(html)
    (warning,) = masked.statistics.manifest.warnings
    assert warning.startswith("Recipe 2 (fgsm, linf): the gradient was zero")
    assert "signals" in [attributes.get("id") for attributes in outline.all("h2")]
    said, _, remedy = warning.rpartition("; ")
    assert f"{said}." in outline.words()
    assert f"{remedy[1:]}." in outline.words()
    attacked = masked.statistics.recipes[1].counts.attacked
    assert f"30 of {attacked:,}" in " ".join(outline.words().split())
    assert FLAGS["zero_gradient"].meaning in outline.words()


def test_a_run_that_does_not_warn_has_none(digits):
    assert "signals" not in [attributes.get("id") for attributes in Outline(page(digits.content)).all("h2")]


def test_a_warning_is_text_and_nothing_else(masked):
    statistics = masked.statistics
    harmed = statistics.manifest.model_copy(update={"warnings": (EVIL,)})
    html = page(Content(replace(statistics, manifest=harmed), {}))
    Outline(html)
    assert html.count("<script") == 1, "its own"
