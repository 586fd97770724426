"""`hardset harden` on a command line: figures, gates and where the weights go."""

from __future__ import annotations

import pytest
import safetensors.torch
import yaml

from hardset.pipeline.hardening import loop
from hardset.pipeline.models.zoo import small_cnn
from tests.hardening.examples import loop_document, made_here
from tests.support import hardset, last_json


@pytest.fixture
def job_file(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "generate", lambda job, **_: made_here(job))
    document = loop_document(weights, tmp_path / "out")
    document["harden"]["rounds"] = 1
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_gates_hold_the_weights_back_until_they_pass(job_file, tmp_path):
    promoted = tmp_path / "out" / "models" / "test.safetensors"
    failed = hardset("harden", job_file, "--fail-under", "robust=99%", "--json")
    assert failed.returncode == 1
    assert "FAILED: robust is" in failed.stdout and "below the 99.0 % that is asked for" in failed.stdout
    assert not promoted.exists()
    passed = hardset("harden", job_file, "--fail-under", "clean=0.5", "--against", tmp_path / "out", "--json")
    assert passed.returncode == 0, passed.stderr
    answer = last_json(passed)
    assert (answer["status"], answer["rounds"], answer["judged_on"]) == ("nothing to do", 1, "test")
    small_cnn().load_state_dict(safetensors.torch.load_file(promoted))


def test_a_fall_against_the_baseline_fails(job_file, tmp_path):
    assert hardset("harden", job_file).returncode == 0
    others = ("--set", f"output.path={tmp_path / 'other'}", "--set", "train.method=standard", "--set", "train.rate=1.0")
    done = hardset("harden", job_file, *others, "--against", tmp_path / "out", "--set", "model.weights=null")
    assert done.returncode == 1
    assert "FAILED: clean is" in done.stdout and "a fall of" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--fail-under", "speed=1"), "there is no figure speed"),
        (("--against", "nowhere"), "holds no finished loop"),
    ],
)
def test_gates_that_cannot_be_held_are_told_at_once(job_file, arguments, told, tmp_path):
    done = hardset("harden", job_file, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "out").exists()
