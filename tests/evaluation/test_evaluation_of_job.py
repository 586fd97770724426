"""The job file of generate is one of evaluate: its model, on its source, under the budgets of its attacks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from hardset.jobs.api.inputs import load_evaluation, load_job
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation_of_job import is_evaluation
from hardset.schemas.reading.json_schema import evaluation_schema
from hardset.schemas.records.results import Evaluated
from tests.support import document, hardset, last_json

ROOT = Path(__file__).parents[2]


def generate_job(weights: dict[str, str], **changes: Any) -> dict[str, Any]:
    return document(weights, "out", **changes)


def test_source_model_and_largest_budgets_are_those_of_the_job(weights: dict[str, str]) -> None:
    recipes = [
        {"kind": "attack", "name": "pgd", "norm": "linf", "eps": ["4/255", "12/255"]},
        {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": {"min": "2/255", "max": "16/255"}},
        {"kind": "attack", "name": "pgd", "norm": "l2", "eps": 1},
        {"kind": "augment", "ops": [{"name": "hflip"}]},
        {"kind": "attack", "name": "worst_of", "ops": [{"name": "rotate", "degrees": 20}], "tries": 5},
    ]
    made = load_job(generate_job(weights, recipes=recipes))
    found = load_evaluation(generate_job(weights, recipes=recipes))
    assert (found.name, found.seed, found.source, found.classes) == (made.name, made.seed, made.source, 10)
    assert found.models[0].model(10) == made.model
    assert [(one.norm, one.eps) for one in found.threats] == [("linf", Fraction(16, 255)), ("l2", 1)]
    assert [(one.ops, one.tries) for one in found.worst_of] == [(made.recipes[4].ops, 5)]
    assert {attack.name for attack in found.attacks} == {"fgsm", "pgd", "fast", "square"}
    assert (found.output.path, found.run.batch, found.run.actors) == ("out", made.run.batch, 2)
    assert load_evaluation(made) == found


def test_a_job_that_attacks_nothing_and_actors_that_come_and_go(weights: dict[str, str]) -> None:
    augment = [{"kind": "augment", "ops": [{"name": "hflip"}]}]
    run = {"actors": {"min": 1, "max": 3}, "shards_per_actor": 4, "start_minutes": 9}
    found = load_evaluation(generate_job(weights, recipes=augment, run=run))
    assert [(one.norm, one.eps) for one in found.threats] == [("linf", Fraction(8, 255))]
    assert found.run.actors == 3
    assert load_evaluation(generate_job(weights, run={"actors": 0})).run.actors == 1
    with pytest.raises(JobError, match="job: has no model to evaluate; add a model section"):
        load_evaluation({key: value for key, value in generate_job(weights, recipes=augment).items() if key != "model"})


def test_settings_of_either_job_can_be_overridden(weights: dict[str, str]) -> None:
    texts = ["model.arguments.width=8", "recipes.0.eps=64/255", "source.splits=[test]", "threats.0.norm=linf", "seed=3"]
    found = load_evaluation(generate_job(weights), texts)
    assert found.models[0].arguments == {"width": 8}
    assert (found.threats[0].eps, found.source.splits, found.seed) == (Fraction(64, 255), ("test",), 3)
    with pytest.raises(JobError, match=r"job: recipes\.0\.eps: got 'lots'"):
        load_evaluation(generate_job(weights), ["recipes.0.eps=lots"])


def test_the_command_takes_it_and_leaves_the_report(weights: dict[str, str], tmp_path: Path) -> None:
    job = generate_job(weights, output={"path": str(tmp_path / "out")}, source={"format": "digits", "limit": 30})
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    quick = ("attacks=[{name: fgsm}]", "corruptions=[]", "shifts=[]", "run.actors=1")
    line = [part for text in quick for part in ("--set", text)]
    done = hardset("evaluate", str(tmp_path / "job.yaml"), *line, "--json")
    assert done.returncode == 0, done.stderr
    found = Evaluated.model_validate(last_json(done))
    assert found.report == str(tmp_path / "out" / "report.html")
    assert f"Report: {found.report}" in done.stdout
    assert Path(found.report).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_schema_of_evaluations_takes_the_examples_and_refuses_other_jobs(weights: dict[str, str]) -> None:
    schema = evaluation_schema()
    Draft202012Validator.check_schema(schema)
    examples = [yaml.safe_load(file.read_text()) for file in (ROOT / "examples").glob("*.yaml")]
    kinds = [is_evaluation(example) for example in examples]
    assert {True, False} == set(kinds)
    for example, kind in zip(examples, kinds, strict=True):
        if kind:
            Draft202012Validator(schema).validate(example)
        else:
            with pytest.raises(ValidationError):
                Draft202012Validator(schema).validate(example)
    assert last_json_document(hardset("schema", "--evaluation").stdout) == schema
    assert hardset("schema", "--evaluation", "--rows").returncode == 2


def last_json_document(text: str) -> Any:
    return yaml.safe_load(text)
