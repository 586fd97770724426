"""No warning is told of a model that does not deserve it: the published table, and its quick lines made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.doubts.cases import Case, disguised
from benchmarks.doubts.trying import NEEDS, SUITES, due, measured, told

from hardset.pipeline.evaluation.doubt_table import DOUBTS, doubtful
from hardset.pipeline.evaluation.summary import summary_line

FOUND = json.loads((Path(__file__).parents[2] / "docs" / "benchmarks" / "doubts.json").read_text(encoding="utf-8"))


def test_the_table_holds_no_false_alarm_and_no_missed_one() -> None:
    assert len(FOUND["models"]) >= 12
    for model in FOUND["models"]:
        assert model["told"] == model["due"], model["name"]
        assert all("; " in text for text in model["texts"]), "each ends in a remedy"


def test_every_warning_about_models_is_due_of_some_model() -> None:
    tried = {kind for model in FOUND["models"] for kinds in model["due"].values() for kind in kinds}
    assert tried == {doubt.kind for doubt in DOUBTS} - {"missing_classes"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {case.name: case for case in disguised(tmp_path_factory.mktemp("models"))}


@pytest.mark.parametrize("name", ["plain", "rounded", "integers", "shifted", "collapsed"])
@pytest.mark.parametrize("suite", list(SUITES))
def test_quick_models_cause_what_is_due_and_no_more(
    cases: dict[str, Case], name: str, suite: str, tmp_path: Path
) -> None:
    case = cases[name]
    record = measured(case, suite, tmp_path)
    assert set(told(case, record)) == due(case, suite)
    model = record.model(name)
    assert doubtful(record, model) == (name in ("rounded", "collapsed")), "shifted has no row left"
    assert ("doubtful" in summary_line(record, model)) == doubtful(record, model)


def test_no_row_left_is_no_doubtful_figure(cases: dict[str, Case], tmp_path: Path) -> None:
    """A warning that figures are too high cannot be about 0."""
    case = cases["rounded"]
    record = measured(case, "gradients", tmp_path)
    model = record.model(case.name)
    threat = model.threats[0]
    broken = threat.model_copy(update={"robust": threat.robust.model_copy(update={"rows": 0})})
    assert doubtful(record, model)
    assert not doubtful(record, model.model_copy(update={"threats": (broken,)}))


def test_kinds_that_only_one_suite_can_tell_are_kinds() -> None:
    assert set(NEEDS) <= {doubt.kind for doubt in DOUBTS} and set(NEEDS.values()) == set(SUITES)
