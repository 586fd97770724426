"""Signals, a second start, a shard that always fails. What kills workers and drivers is in tests/chaos."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import RECIPES, digests, hardset, job_of, quarantined

WriteJob = Callable[..., Path]


@pytest.fixture(scope="module")
def undisturbed(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of a run that nothing disturbed."""
    from hardset.pipeline.run.generation import generate

    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert generate(slow_job(weights, out)).status == "complete"
    return digests(out)


def slow_job(weights: dict[str, str], out: Path):  # type: ignore[no-untyped-def]
    """Many small shards, so that there is a middle to be killed in."""
    return job_of(weights, out, recipes=RECIPES[1:], output=small_shards(out))


def small_shards(out: Path) -> dict[str, object]:
    return {"path": str(out), "shard_rows": 25}


@pytest.fixture
def started(write_job: WriteJob, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, Path]]:
    """The command line at work, with at least three shards committed."""
    job = write_job(recipes=RECIPES[1:], output=small_shards(tmp_path / "out"))
    command = [sys.executable, "-c", "from hardset.jobs.app import main; main()", "generate", str(job), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out = tmp_path / "out"
    deadline = time.monotonic() + 90
    while len(list(out.glob("_hardset/runs/*/receipts/*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no receipts in time"
        time.sleep(0.02)
    yield process, job, out
    if process.poll() is None:
        process.kill()
    process.wait()


def test_sigterm_stops_with_4_and_the_next_start_goes_on(started, undisturbed: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    process, job, out = started
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 4, stderr
    assert '"status":"stopped"' in stdout.strip().splitlines()[-1]
    assert not list(out.glob("_hardset/runs/*/manifest.json"))
    assert hardset("generate", job).returncode == 0
    assert digests(out) == undisturbed


def test_a_second_run_at_the_same_time_is_told_who_is_at_work(started) -> None:  # type: ignore[no-untyped-def]
    process, job, _ = started
    done = hardset("generate", job)
    assert process.poll() is None, "the first run ended before the second was tried"
    assert done.returncode == 5
    assert str(process.pid) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_row_that_always_fails_goes_to_quarantine_and_its_neighbours_are_there(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that refuses one clean row: each attack loses that row, and no other."""
    from hardset.pipeline.run.generation import generate

    module = tmp_path / "moody.py"
    module.write_text(MOODY)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = {"factory": "moody:moody_cnn", "weights": weights["victim"], "classes": 10}
    job = job_of(weights, tmp_path / "out", model=model, run={"actors": 2, "batch": 64, "max_attempts": 2})
    outcome = generate(job)
    assert outcome.status == "complete"
    assert outcome.manifest is not None
    assert outcome.manifest.totals.rows_out == 2 * 299 + 600
    assert outcome.manifest.totals.quarantined == 2
    lost = quarantined(tmp_path / "out")
    assert {(row["source_key"], row["stage"], row["error_class"]) for row in lost} == {
        ("digits#250", "make", "RuntimeError")
    }
    assert "moody" in lost[0]["message"]


MOODY = """
import torch
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource

def moody_cnn():
    model = small_cnn()
    source = open_source(DigitsSource(limit=300))
    rows, _ = source.read(source.plan(100)[2], source.probe(), 10)
    hated = torch.from_numpy(rows.pixels[50]).permute(2, 0, 1).float() / 255

    def refuse(module, inputs):
        if (inputs[0] == hated).flatten(1).all(1).any():
            raise RuntimeError("moody: not this row")

    model.register_forward_pre_hook(refuse)
    return model
"""
