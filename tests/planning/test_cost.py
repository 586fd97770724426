"""What a plan says of a run's cost is what the run then spends, and what is extrapolated is said to be so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from hardset.jobs.api import planning
from hardset.jobs.api.planning import plan
from hardset.pipeline.planning.cost import Cost, most_of
from hardset.pipeline.run import trial
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import Attack, Augment, WorstOf
from hardset.schemas.records.results import Planned
from tests.support import document, hardset, job_of, last_json, make_here

PGD = {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "8/255", "steps": 4, "restarts": 2}
FLIP = {"kind": "augment", "ops": [{"name": "hflip"}], "variants": 3}


def cost(**settings: Any) -> Cost | None:
    return most_of(Attack(**{"eps": "8/255", **settings}), 10)


def test_gradients_and_queries_follow_from_the_declaration() -> None:
    assert cost(name="fgsm") == Cost(1, 0)
    assert cost(name="pgd", steps=10, restarts=3) == Cost(30, 0)
    assert cost(name="pgd", steps=10, eps=["2/255", "8/255"], eot=2) == Cost(40, 0)
    assert cost(name="square", steps=100) == Cost(0, 100)
    assert cost(name="apgd_t", steps=10, targets=9) == Cost(90, 0)
    assert cost(name="apgd_t", steps=10, targets=2, restarts=2) == Cost(40, 0)
    assert most_of(Attack(name="apgd_t", eps="8/255", steps=10), 3) == Cost(20, 0)
    assert most_of(Augment(ops=[{"name": "hflip"}]), 0) == Cost(0, 0)
    assert most_of(WorstOf(ops=[{"name": "hflip"}], tries=7), 10) == Cost(0, 7)
    standard = cost(name="standard")
    assert standard is not None
    assert standard.gradients > 100
    assert standard.queries > 100


def test_a_model_that_nothing_fools_takes_as_many_gradients_as_the_plan_says(
    weights: dict[str, str], tmp_path: Path
) -> None:
    """With a budget of one level and every row asked to the end."""
    recipes = [PGD | {"eps": "1/255", "stop": "never"}, FLIP]
    job = job_of(weights, tmp_path / "out", recipes=recipes, source={"format": "digits", "limit": 40})
    planned = plan(job)
    make_here(job)
    rows = pyarrow.dataset.dataset(tmp_path / "out" / "data").to_table(columns=["steps", "kind", "clean_pred", "label"])
    steps = [row["steps"] for row in rows.to_pylist() if row["kind"] == "adversarial"]
    right = sum(row["clean_pred"] == row["label"] for row in rows.to_pylist() if row["kind"] == "adversarial")
    assert planned.recipes[0].gradients == 8 * 40
    assert max(steps) == 8
    assert sum(steps) >= 8 * right - 8 * 40 // 10
    assert sum(steps) <= 8 * 40
    assert planned.rows == len(rows) == 40 + 120
    assert planned.pixel_bytes == planned.rows * 8 * 8
    assert planned.estimate is None


def test_a_trial_is_extrapolated_to_what_is_missing_and_writes_nothing(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MEASURE_SECONDS", 0.2)
    job = job_of(weights, tmp_path / "out", recipes=[PGD, FLIP], source={"format": "digits", "limit": 300})
    planned = plan(job, measure=True, price_per_hour=2.0, actors=4)
    assert not (tmp_path / "out").exists()
    attack, flip = (one.measured for one in planned.recipes)
    assert attack is not None and flip is not None
    assert 0 < attack.gradients_per_row <= 8
    assert flip.gradients_per_row == 0
    seconds = 300 / attack.rows_per_s + 300 / flip.rows_per_s
    found = planned.estimate
    assert found is not None
    assert found.hours == pytest.approx(seconds / 3600 / 4)
    assert found.price == pytest.approx(seconds / 3600 * 2)
    assert found.bytes == pytest.approx(300 * attack.bytes_per_row + 900 * flip.bytes_per_row, rel=1e-6)
    assert (found.actors, found.device) == (4, "cpu")
    make_here(job)
    data = sum(file.stat().st_size for file in (tmp_path / "out" / "data").rglob("*.parquet"))
    assert found.bytes > 0.9 * data, "small trials have more of a file's fixed part"
    assert plan(job, measure=True).estimate is None, "nothing is left"


@pytest.mark.parametrize("a_row", [0.01, 0.1, 1.0, 10.0])
def test_a_trial_takes_the_time_that_it_has_however_slow_the_rows_are(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_row: float
) -> None:
    """Rows of a simulated machine; the first eight take a second more, in which it loads."""
    job = job_of(
        weights, tmp_path / "out", recipes=[FLIP], source={"format": "digits", "limit": 400}, run={"batch": 64}
    )
    now, made = [0.0], list[int]()

    def timed(worker: Any, recipe: int, shard: Any, first: int, stop: int) -> trial.Trial:
        seconds = a_row * (stop - first) + (0 if made else 1)
        now[0] += seconds
        made.append(stop - first)
        return trial.Trial(recipe, stop - first, 3 * (stop - first), seconds, 100, 0)

    monkeypatch.setattr(trial, "_timed", timed)
    monkeypatch.setattr(trial.time, "monotonic", lambda: now[0])
    state = planning.look(job)
    (one,) = trial.trials(job, state.plan, state.missing, 5.0)
    assert made[0] == 8
    assert max(made) <= 64
    assert now[0] <= max(5 + 8 * a_row, 1 + 8 * a_row)
    if len(made) > 1:
        assert one.rows == sum(made[1:])
        assert one.seconds == pytest.approx(a_row * one.rows), "loading does not count"
        assert one.rows == 400 or now[0] > 5 - 8 * a_row, "the time is used"
    else:
        assert (one.rows, one.seconds) == (8, 1 + 8 * a_row)


def test_hours_need_a_trial(weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(JobError, match="need --measure"):
        plan(document(weights, tmp_path / "out"), price_per_hour=1.0)


def test_the_command_says_what_is_extrapolated_and_which_verb_is_next(
    weights: dict[str, str], tmp_path: Path, write_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MEASURE_SECONDS", 0.1)
    harden = {"train": {"epochs": 1}, "harden": {"rounds": 1, "validation": {"fraction": 0.2}}}
    path = write_job(recipes=[PGD], **harden)
    done = hardset("plan", str(path), "--measure", "--price", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert Planned.model_validate(last_json(done)).estimate is not None
    assert "Measured recipe 0 on" in done.stdout
    assert "Extrapolated to all that is left: about" in done.stdout
    assert "It assumes that" in done.stdout
    assert f"`hardset harden {path}`" in done.stdout
    plain = hardset("plan", str(write_job(recipes=[PGD])))
    assert "`hardset generate " in plain.stdout
    assert "Measured" not in plain.stdout
