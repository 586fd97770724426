"""`train-gan` says how good its generator is; the default settings give rows worth training on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from hardset.jobs.api import generators
from hardset.jobs.api.generators import Hears, train_generators, training_rows
from hardset.jobs.telling import train_gan as telling
from hardset.pipeline.batches import Pixels
from hardset.pipeline.gans.selection import best
from hardset.pipeline.gans.training import Stopped
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.recipes.gan_checkpoints import saved_checkpoint
from hardset.pipeline.recipes.generator_files import load_generator
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from tests.gans.conftest import Diverging
from tests.support import document, hardset, last_json

FIGURES = {"label_agreement", "fd_target", "fd_floor", "precision", "recall", "density", "coverage", "authenticity"}


def job_of(weights: dict[str, str], folder: Path, training: dict[str, object]) -> Job:
    text = document(weights, folder / "out", source={"format": "digits"})
    generator = {"weights": str(folder / "gan.safetensors"), "training": training}
    return Job.model_validate({**text, "recipes": [{"kind": "sample", "generator": generator, "per_class": 1}]})


def test_train_gan_returns_digest_and_quality(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, {"steps": 3, "features": 8})
    (trained,) = train_generators(job)
    path = str(tmp_path / "gan.safetensors")
    assert (trained.weights, trained.sha256) == (path, load_generator(path, device=torch.device("cpu")).sha256)
    assert trained.quality is not None and trained.quality.keys() == FIGURES


def test_a_model_that_is_not_there_yet_does_not_cost_the_generator(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of({**weights, "victim": str(tmp_path / "later.safetensors")}, tmp_path, {"steps": 1, "features": 8})
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    done = hardset("train-gan", path, "--json")
    assert list(last_json(done)["quality"].values()) == [None]
    assert (tmp_path / "gan.safetensors").is_file()
    assert "not assessed: " in done.stdout


def stopping_at(step: int) -> Hears:
    heard: list[int] = [0]
    return Hears(on_step=lambda _, now, __: heard.append(now), stop=lambda: heard[-1] >= step)


def test_a_second_start_goes_on_to_the_same_file(weights: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    settings = {"steps": 12, "features": 8, "batch": 16}
    (wanted,) = train_generators(job_of(weights, tmp_path / "whole", settings))
    job, path = job_of(weights, tmp_path, settings), tmp_path / "gan.safetensors"
    with pytest.raises(Stopped):
        train_generators(job, stopping_at(5))
    assert (path.exists(), Path(f"{path}.checkpoint").exists()) == (False, True)
    on: list[tuple[str, int]] = []
    (found,) = train_generators(job, Hears(on_resume=lambda *told: on.append(told)))
    assert on == [(str(path), 5)]
    assert (found.sha256, found.measured, found.step) == (wanted.sha256, wanted.measured, wanted.step)
    assert len(found.measured) == 8 and found.step == best(found.measured).step
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gan.safetensors", "gan.safetensors.html", "whole"]
    assert path.with_name("gan.safetensors.html").read_bytes() == Path(wanted.page).read_bytes()


def test_a_checkpoint_of_other_settings_is_refused_and_left_alone(weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train_generators(job_of(weights, tmp_path, {"steps": 12, "features": 8}), stopping_at(2))
    before = Path(f"{tmp_path / 'gan.safetensors'}.checkpoint").read_bytes()
    with pytest.raises(JobError, match="with other settings; remove it to train anew"):
        train_generators(job_of(weights, tmp_path, {"steps": 13, "features": 8}))
    assert Path(f"{tmp_path / 'gan.safetensors'}.checkpoint").read_bytes() == before


def test_the_best_is_chosen_on_other_rows_than_those_reported_on(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Pixels] = {}
    real_choice, real_report = generators.distance_and_recall, generators.assess

    def choice(module: Any, pixels: Pixels, **options: Any) -> Any:
        seen["chosen on"] = pixels
        return real_choice(module, pixels, **options)

    def report(*arguments: Any, **options: Any) -> Any:
        seen.update({"reported on": options["held_out"], "trained on": options["training"]})
        return real_report(*arguments, **options)

    monkeypatch.setattr(generators, "distance_and_recall", choice)
    monkeypatch.setattr(generators, "assess", report)
    train_generators(job_of(weights, tmp_path, {"steps": 3, "features": 8}))
    assert {name: len(rows) for name, rows in seen.items()} == {
        "chosen on": 180,
        "reported on": 180,
        "trained on": 1437,
    }
    places = [{row.tobytes() for row in rows} for rows in seen.values()]
    assert len(set.union(*places)) == sum(map(len, places))


def test_too_few_rows_to_choose_by_are_reported_on(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, {"steps": 3, "features": 8})
    few = job.model_copy(update={"source": job.source.model_copy(update={"limit": 1_500})})
    (trained,) = train_generators(few)
    assert (trained.measured, trained.step) == ((), 3) and trained.quality is not None


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_sigterm_keeps_a_checkpoint_and_ends_with_4(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path, {"steps": 100_000, "features": 8, "batch": 8})
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    command = [sys.executable, "-c", RAISES_SIGTERM, "train-gan", str(path), "--log-format", "json", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr
    assert last_json(done) == {"status": "stopped"}
    told = {line["event"]: line for line in lines_of(done.stderr)}
    assert "keeping a checkpoint" in told["stopping"]["message"]
    assert (told["ended"]["status"], told["ended"]["step"], told["ended"]["steps"]) == ("stopped", 3, 100_000)
    kept = saved_checkpoint(str(tmp_path / "gan.safetensors"))
    assert kept is not None and kept.progress.step == 3


RAISES_SIGTERM = """
import os, signal
from hardset.jobs.app import main
from hardset.pipeline.gans.players import Players

real = Players.step

def step(players, number, *rest, **options):
    if number == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return real(players, number, *rest, **options)

Players.step = step
main()
"""


def test_off_a_terminal_a_line_a_minute_tells_the_step(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 25
        return now[0]

    monkeypatch.setattr(telling, "time", SimpleNamespace(monotonic=clock))
    job = job_of(weights, tmp_path, {"steps": 8, "features": 8})
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    plain = hardset("train-gan", path)
    steps = [line for line in plain.stdout.splitlines() if "left" in line]
    weights_path = tmp_path / "gan.safetensors"
    assert steps[0] == f"{weights_path}: step 3 of 8  about 83 s left" and len(steps) == 2
    assert f"{weights_path}: trained on 1,437 rows in " in plain.stdout
    assert plain.stdout.count("(selection rows)") == 8
    now[0] = 0
    machine = hardset("train-gan", path, "--log-format", "json")
    events = lines_of(machine.stderr)
    assert [(one["step"], one["steps"]) for one in events if one["event"] == "progress"] == [(3, 8), (6, 8)]
    assert [one["step"] for one in events if one["event"] == "measured"] == list(range(1, 9))
    (trained,) = (one for one in events if one["event"] == "trained")
    assert trained["quality"].keys() == FIGURES and machine.stdout == ""


def test_a_training_that_diverges_says_where_it_goes_on(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Diverging(monkeypatch, 7)
    job = job_of(weights, tmp_path, {"steps": 16, "features": 8, "batch": 16})
    back: list[tuple[str, int, float]] = []
    (trained,) = train_generators(job, Hears(on_return=lambda *told: back.append(told)))
    assert back == [(str(tmp_path / "gan.safetensors"), 6, 0.5)]
    assert [one.step for one in trained.measured] == [2, 4, 6, 8, 10, 12, 14, 16]
    Diverging(monkeypatch, 7)
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    told = hardset("train-gan", path).stdout
    assert f"Warning: {tmp_path}/gan.safetensors: diverged; back at step 6, with 0.5 of the rates" in told


@pytest.fixture(scope="module")
def judge(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A classifier trained on all training digits: the shared one has seen 300."""
    folder = tmp_path_factory.mktemp("judge")
    rows, _ = training_rows(job_of(weights, folder, {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = fit_classifier(small_cnn(), rows.pixels, rows.labels, epochs=15, seed=0)
    safetensors.torch.save_file(module.state_dict(), folder / "judge.safetensors")
    return {"victim": str(folder / "judge.safetensors")}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_settings_give_diverse_digits_of_the_class_asked_for(
    judge: dict[str, str], tmp_path: Path, seed: int
) -> None:
    job = job_of(judge, tmp_path, {}).model_copy(update={"seed": seed})
    (trained,) = train_generators(job)
    figures = trained.quality
    assert figures is not None
    assert figures["label_agreement"] >= 0.95
    assert figures["coverage"] >= 0.6
    assert figures["recall"] >= 0.2
    assert figures["authenticity"] >= 0.3
    assert figures["fd_target"] < 3 * figures["fd_floor"]
