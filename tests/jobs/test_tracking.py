"""What trackers are told, and the sentences where they cannot be."""

from __future__ import annotations

import re

import pytest

from hardset.jobs.api import tracking
from hardset.jobs.api.tracking import tracked
from hardset.jobs.app import run
from hardset.pipeline.reporting.hardening_page import LoopContent
from hardset.pipeline.reporting.tracked import MOST_CHARACTERS, of_evaluation, of_loop, of_run, parameters
from hardset.schemas.errors import JobError
from tests.evaluation.conftest import finished, models  # noqa: F401 - fixtures
from tests.reporting.conftest import digits  # noqa: F401 - a fixture

TAKEN = re.compile(r"[\w\-. /]{1,250}")


def test_a_run_is_told_by_its_totals_and_recipes(digits):  # noqa: F811
    manifest = digits.manifest
    told = of_run(manifest)
    figures = {figure.name: figure.value for figure in told.figures}
    assert told.identity == manifest.run_id
    assert figures["rows"] == manifest.totals.rows_out
    assert figures["success"] == manifest.totals.success / manifest.totals.attacked
    for recipe in digits.content.statistics.recipes:
        assert figures[f"recipe_{recipe.position + 1}.rows"] == recipe.tally.rows
        rate = figures.get(f"recipe_{recipe.position + 1}.success")
        assert rate == recipe.tally.success_rate if recipe.kind == "adversarial" else rate is None
    assert told.parameters["seed"] == "7"
    assert told.parameters["recipes.0.name"] == "fgsm"
    assert [one.identity for one in tracked(digits.folder.url)] == [manifest.run_id]


def test_an_evaluation_is_told_by_model_attack_and_budget(finished):  # noqa: F811
    record = finished[2].record
    told = of_evaluation(record)
    figures = {(figure.name, figure.step): figure.value for figure in told.figures}
    assert len(figures) == len(told.figures), "no two figures have one name"
    for model in record.models:
        assert figures[f"{model.name}.clean", 0] == model.clean.value
        for attack in model.attacks:
            for at, point in enumerate(attack.points):
                assert figures[f"{model.name}.attack.{attack.label}".replace("#", "_"), at] == point.robust.value
    assert all(TAKEN.fullmatch(figure.name) for figure in told.figures)
    assert all(TAKEN.fullmatch(name) for name in told.parameters)


def test_a_loop_is_told_by_round(tmp_path):
    from hardset.schemas.records.hardening import LoopStart, StoredWeights
    from tests.evaluation.test_report import figures

    start = LoopStart(loop_id="l", weights=StoredWeights(path="w", sha256="0" * 64), validation=figures(96, 12))
    told = of_loop(LoopContent(start, (), None))
    assert {(f.name, f.step, f.value) for f in told.figures} == {
        ("validation.clean", 0, 0.96),
        ("validation.robust", 0, 0.12),
    }


def test_parameters_are_flat_short_and_without_secrets():
    job = {
        "source": {"path": "s3://key:hunter2@bucket/a?sig=1", "limit": None, "splits": ["a", "b"]},
        "recipes": [{"name": "x" * 900}, {"eps: #": "8/255"}],
    }
    assert parameters(job) == {
        "source.path": "s3://bucket/a",
        "source.splits": "['a', 'b']",
        "recipes.0.name": "x" * (MOST_CHARACTERS - 1) + "…",
        "recipes.1.eps_ _": "8/255",
    }


def test_a_missing_package_and_an_unknown_tracker_are_told_before_any_work(digits, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    before = digits.folder.list("")
    for tracker, sentence in (
        ("mlflow", "hardset: mlflow, which --track logs to, is not installed: pip install 'hardset[mlflow]'"),
        ("wandb", "hardset: --track: got 'wandb'; wants one of mlflow"),
    ):
        assert run(["report", digits.folder.url, "--track", tracker]) == 2
        assert capsys.readouterr().err.strip() == sentence
    assert digits.folder.list("") == before
    with pytest.raises(JobError, match="got 'x'"):
        tracking.log(digits.folder.url, b"", tracker="x")
