"""What the functions take for a job, and what they say of it."""

from __future__ import annotations

import logging
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

import hardset
from tests.support import hardset as command
from tests.support import last_json

JOB: dict[str, Any] = {
    "name": "inputs",
    "source": {"format": "digits", "limit": 30},
    "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
    "output": {"path": "memory://inputs"},
}


def test_a_path_a_mapping_and_a_validated_job_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(JOB))
    job = hardset.load_job(file)
    assert job == hardset.load_job(str(file)) == hardset.load_job(JOB) == hardset.load_job(MappingProxyType(JOB))
    assert hardset.load_job(job) is job
    assert hardset.plan(file) == hardset.plan(JOB) == hardset.plan(job)


@pytest.mark.parametrize(
    "overrides",
    [
        ["source.limit=7", "recipes.0.variants=2"],
        {"source.limit": 7, "recipes.0": {**JOB["recipes"][0], "variants": 2}},
    ],
)
def test_overrides_are_laid_over_a_file_or_a_mapping(overrides: Any) -> None:
    planned = hardset.plan(JOB, overrides=overrides)
    assert (planned.recipes[0].rows_in, planned.recipes[0].rows_out) == (7, 14)
    assert JOB["source"]["limit"] == 30


def test_overrides_of_a_validated_job_are_refused() -> None:
    # Its step size is written out already, and would stay that of the old eps.
    with pytest.raises(hardset.JobError, match="overrides: this job is validated already"):
        hardset.plan(hardset.load_job(JOB), overrides=["seed=1"])


def test_what_is_no_job_is_said_in_a_sentence(tmp_path: Path) -> None:
    for wrong, sentence in (
        (3, "job: got a int; wants a path, a mapping or a Job"),
        (tmp_path / "gone.yaml", "gone.yaml: no such job file"),
        ({**JOB, "recipes": []}, "job: recipes: "),
    ):
        with pytest.raises(hardset.JobError, match=sentence):
            hardset.plan(wrong)  # type: ignore[arg-type]
    with pytest.raises(hardset.JobError, match="overrides: got the text 'seed=1'; wants a list"):
        hardset.plan(JOB, overrides="seed=1")
    with pytest.raises(hardset.JobError, match="wants a path, a mapping or a EvaluationJob"):
        hardset.evaluate(3)  # type: ignore[arg-type]
    with pytest.raises(hardset.JobError, match="has no model to evaluate"):
        hardset.evaluate(hardset.load_job(JOB))


def test_functions_return_what_json_prints(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(JOB))
    assert last_json(command("plan", file, "--json")) == hardset.plan(file).model_dump(mode="json")


def test_warnings_go_to_the_caller_or_else_to_the_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    from hardset.jobs.api.hearing import warner

    heard: list[str] = []
    with caplog.at_level(logging.WARNING, "hardset"):
        warn = warner(heard.append)
        warn("once")
        warn("once")
        assert (heard, caplog.messages) == (["once"], [])
        warner(None)("told")
    assert caplog.messages == ["told"]
