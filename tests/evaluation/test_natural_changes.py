"""Natural changes in an evaluation: each a part of its own, the worst of several draws among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardset.pipeline.evaluation import evaluation_plan
from hardset.pipeline.evaluation.evaluate import evaluate
from hardset.pipeline.evaluation.evaluation_plan import make_plan
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from tests.evaluation.conftest import job_of

WORST = {"ops": [{"name": "rotate", "degrees": {"min": -30, "max": 30}}, {"name": "translate"}], "tries": 5}


def test_a_fix_of_one_corruption_measures_that_one_alone_again(models, tmp_path, monkeypatch):
    job = job_of(models, tmp_path / "out", corruptions=["gaussian_noise", "fog", "jpeg"], worst_of=[WORST])
    before = make_plan(job).parts
    raised = {**CORRUPTIONS, "fog": replace(CORRUPTIONS["fog"], code=CORRUPTIONS["fog"].code + 1)}
    monkeypatch.setattr(evaluation_plan, "CORRUPTIONS", raised)
    after = make_plan(job).parts
    changed = {(one.kind, one.condition) for one, other in zip(before, after, strict=True) if one.key != other.key}
    assert changed == {("corruption", 1)}
    fewer = make_plan(job.model_copy(update={"corruptions": ("fog", "jpeg")})).parts
    assert {part.key for part in fewer} < {part.key for part in after}


def test_the_worst_of_several_draws_is_what_the_attack_would_store(models, tmp_path):
    changes = {"corruptions": [], "shifts": [], "worst_of": [WORST, {**WORST, "tries": 2}]}
    job = job_of(models, tmp_path / "out", **changes)
    record = evaluate(job).record
    for model in record.models:
        by_tries = {one.level: one.right.rows for one in model.conditions}
        assert [one.name for one in model.conditions] == [f"worst of rotate, translate #{n}" for n in (1, 2)]
        assert by_tries[5] <= by_tries[2] <= model.clean.rows
    assert by_tries.keys() == {5, 2}
    assert record.model("trained").conditions[0].right.rows < record.model("trained").clean.rows
    again = evaluate(job_of(models, tmp_path / "other", **changes)).record
    assert again.model("trained").conditions == record.model("trained").conditions


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"worst_of": [{"ops": [{"name": "hue"}]}]}, r"worst_of\.0\.ops\.0\.name: hue changes colours"),
        ({"worst_of": [{"ops": [{"name": "mixup"}]}]}, r"worst_of\.0\.ops\.0\.name: mixup mixes another row in"),
        ({"attacks": [{"name": "worst_of"}]}, r"attacks\.0\.name: worst_of has no norm: .* under worst_of"),
    ],
)
def test_faults_of_worst_cases_are_named(models, tmp_path, change, told):
    with pytest.raises(JobError, match=told):
        make_plan(job_of(models, tmp_path / "out", **change))
