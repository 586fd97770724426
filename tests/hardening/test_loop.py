"""Rounds: linked to their rows by digests, gone on with where they stopped, ended by their budgets."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import torch
from safetensors.torch import load_file

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.hardening.home import Home
from hardset.pipeline.hardening.loop import HardeningOutcome, harden, spent
from hardset.pipeline.hardening.round_rows import training_rows
from hardset.pipeline.sources.hold_out import held_out
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.split_rows import read_splits
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.hardening import HardeningBudget
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import HoldOut
from hardset.schemas.job.training import Train
from hardset.schemas.records.hardening import Round
from tests.hardening.examples import harden_here, loop_job, made_here


@dataclass(frozen=True)
class Finished:
    job: Job
    out: Path
    outcome: HardeningOutcome

    @property
    def rounds(self) -> list[Round]:
        return self.outcome.home.rounds()


@pytest.fixture(scope="module")
def finished(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("loop") / "out"
    job = loop_job(weights, out)
    return Finished(job, out, harden_here(job))


def rows_of_run(finished: Finished, run_id: str) -> list[dict[str, Any]]:
    manifest = Ledger(Folder(str(finished.out)), run_id).manifest()
    assert manifest is not None
    files = [str(finished.out / output.data.path) for output in manifest.outputs if output.data]
    return ds.dataset(files).to_table(columns=["model_sha256", "source_key", "source_split"]).to_pylist()


def test_any_row_tells_which_rounds_model_it_was_made_against(finished):
    start = finished.outcome.home.start()
    assert start is not None
    earlier = start.weights
    for one in finished.rounds:
        rows = rows_of_run(finished, one.run_id or "")
        assert {row["model_sha256"] for row in rows} == {one.model_sha256} == {earlier.sha256}
        assert sha256_hex((finished.out / earlier.path).read_bytes()) == earlier.sha256
        earlier = one.weights
    assert [one.number for one in finished.rounds] == [1, 2]


def test_a_checkpoint_that_is_pinned_and_fed_otherwise_goes_on_as_plain_weights_of_its_network(weights, tmp_path):
    state, file = load_file(weights["victim"]), tmp_path / "checkpoint.pt"
    torch.save({"state_dict_ema": state, "state_dict": {name: value + 1 for name, value in state.items()}}, file)
    model = {
        "factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10, "weights": str(file),
        "weights_key": "state_dict_ema", "sha256": sha256_hex(file.read_bytes()), "input": {"range": [0, 1]},
        "normalize": {"mean": [0.0], "std": [1.0]}, "output": "auto", "output_order": list(range(10)),
    }  # fmt: skip
    outcome = harden_here(loop_job(weights, tmp_path / "out", model=model))
    assert (outcome.status, outcome.rounds_made) == ("complete", 2)
    start = outcome.home.start()
    assert start is not None
    kept = load_file(tmp_path / "out" / start.weights.path)
    assert kept.keys() == state.keys()
    assert all(torch.equal(kept[name], state[name]) for name in state)
    assert load_file(tmp_path / "out" / outcome.home.rounds()[-1].weights.path).keys() == state.keys()


def test_no_row_stems_from_a_held_out_one(finished):
    spec = HoldOut(fraction=0.1, seed=finished.job.seed)
    keys = {row["source_key"] for one in finished.rounds for row in rows_of_run(finished, one.run_id or "")}
    held = {f"digits#{row}" for row in range(400) if held_out(f"digits#{row}", spec)}
    assert 20 < len(held) < 60
    assert keys == {f"digits#{row}" for row in range(400)} - held
    assert finished.rounds[0].validation.clean.of == len(held)


def test_the_dataset_of_all_rounds_stands_up_to_verify(finished):
    assert not verify(Folder(str(finished.out)), sample=None, trust=Trust(records=True)).faults


def test_the_last_word_is_spoken_by_the_test_split(finished):
    record = finished.outcome.record
    assert record is not None
    assert (record.judged_on, record.after.clean.of) == ("test", 360)
    best = max(finished.rounds, key=lambda one: one.validation.robust.rows)
    assert record.best in (0, best.number)


def test_costs_are_what_the_rows_say(finished):
    for one in finished.rounds:
        assert one.training_gradients == 3 * one.rows_made == 3 * len(rows_of_run(finished, one.run_id or ""))


def test_a_second_start_has_nothing_to_do(finished):
    again = harden_here(finished.job)
    assert (again.status, again.rounds_made, again.record) == ("nothing to do", 0, finished.outcome.record)


def test_an_interrupted_loop_goes_on_and_ends_with_the_same_weights(finished, weights, tmp_path):
    out = tmp_path / "out"
    job = loop_job(weights, out)
    stop = Stop()
    stopped = harden_here(job, stop=stop, on_round=lambda one, _: stop.set() if isinstance(one, Round) else None)
    assert (stopped.status, stopped.rounds_made, stopped.record) == ("stopped", 1, None)
    whole = harden_here(job)
    assert (whole.status, whole.rounds_made) == ("complete", 1)
    theirs, ours = finished.rounds, whole.home.rounds()
    assert [one.weights.sha256 for one in ours] == [one.weights.sha256 for one in theirs]
    assert [one.validation for one in ours] == [one.validation for one in theirs]


def test_a_changed_record_or_state_is_not_believed(finished, tmp_path):
    home = finished.outcome.home
    copy = tmp_path / "out"
    shutil.copytree(finished.out, copy)
    moved = Home(Folder(str(copy)), home.loop_id)
    last = moved.rounds()[-1]
    (copy / last.state.path).write_bytes(b"other")
    with pytest.raises(RunError, match="changed since it was written"):
        moved.state(last.state)
    path = copy / home.path / "round-001.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"number":1', '"number":3'), encoding="utf-8")
    with pytest.raises(RunError, match="as its seal shows"):
        moved.rounds()


@pytest.mark.parametrize(
    ("budget", "ended_by"),
    [({"rows": 500}, "rows"), ({"gradients": 2500}, "gradients"), ({"minutes": 1e-6}, "minutes")],
)
def test_a_round_beyond_the_budget_is_not_begun(finished, budget, ended_by):
    start, rounds = finished.outcome.home.start(), finished.rounds
    settings = finished.job.harden.model_copy(update={"rounds": 3, "budget": HardeningBudget(**budget)})
    assert spent(settings, start, []) is None
    assert spent(settings, start, rounds[:1]) == ended_by
    assert spent(finished.job.harden, start, rounds[:1]) is None
    assert spent(finished.job.harden, start, rounds) == "rounds"


def test_older_rows_join_from_the_second_round(finished):
    splits = read_splits(finished.job, finished.job.harden.validation)
    runs = [one.run_id or "" for one in finished.rounds]
    first = training_rows(finished.job, finished.job.train or Train(), splits, runs[:1], 1)
    second = training_rows(finished.job, finished.job.train or Train(), splits, runs, 2)
    assert set(first.parts) == {"clean", "newest"}
    assert (second.parts["older"].pixels == first.parts["newest"].pixels).all()
    assert second.counts() == {"newest": 51, "older": 13}


@pytest.mark.parametrize("method", ["standard", "pgd_at"])
def test_other_methods_run_in_the_same_rounds_and_make_no_rows(weights, tmp_path, method):
    job = loop_job(weights, tmp_path / "out", train={"method": method, "epochs": 1, "batch": 64})
    outcome = harden_here(job)
    rounds = outcome.home.rounds()
    assert not (tmp_path / "out" / "data").exists()
    assert [one.training_gradients for one in rounds] == [0 if method == "standard" else 6 * 64 * 3] * 2
    assert json.loads((tmp_path / "out" / outcome.home.path / "round-001.json").read_text())["run_id"] is None


@pytest.mark.parametrize(("actors", "sessions"), [(1, 1), (0, 0)])
def test_all_rounds_share_one_session_of_ray(weights, tmp_path, monkeypatch, actors, sessions):
    """It is there before the first round and until after the last, and not for a loop that has none left to make."""
    seen, depth = [], [0]

    @contextmanager
    def session(run, place):
        depth[0] += 1
        seen.append((run.actors, place.address))
        yield
        depth[0] -= 1

    def made(part, **_):
        assert depth == [sessions]
        return made_here(part)

    monkeypatch.setattr("hardset.pipeline.hardening.loop.on_ray", session)
    monkeypatch.setattr("hardset.pipeline.hardening.loop.generate", made)
    address = "10.0.0.1:6379" if sessions else None
    for _ in range(2):
        harden(loop_job(weights, tmp_path / "out", run={"actors": actors, "batch": 64}), address=address)
    assert (seen, depth) == ([(actors, address)] * sessions, [0])


def test_an_address_that_nothing_would_use_is_refused(weights, tmp_path):
    with pytest.raises(JobError, match="--address: only counts where Ray does the work"):
        harden(loop_job(weights, tmp_path / "out", run={"actors": 0}), address="auto")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_of_ray_train_take_over_in_an_output_named_from_here(weights, tmp_path, monkeypatch):
    """They work in a folder of their own, where a relative path leads nowhere."""
    monkeypatch.chdir(tmp_path)
    train = {"epochs": 1, "batch": 64, "rate": 1e-3, "workers": 2}
    job = loop_job(weights, Path("out"), train=train)
    outcome = harden_here(job)
    assert outcome.record is not None and outcome.record.rounds == 2
    assert not [path for path in (tmp_path / "out").rglob("*") if "workers-" in path.name and any(path.rglob("*.pt"))]
