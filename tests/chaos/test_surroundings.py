"""What lies around a run is removed, replaced, closed or wrong: it is told as what it is, and no row is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardset.pipeline.dataset.records.holders import read_sign
from tests.chaos.drivers import MAIN, ROOT
from tests.chaos.processes import descendants, eventually
from tests.chaos.trial import Trial, TrialOf

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
HOURS = 2 * 3600.0


@pytest.fixture
def dataset(trial: TrialOf) -> Trial:
    """A dataset of twenty shards, by a Ray that the driver starts itself."""
    return trial(rows=100, actors=2)


def test_a_driver_is_interrupted_twice(dataset: Trial) -> None:
    with dataset.running(pace=0.5) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        started = descendants([scene.driver.pid])
        assert started
        for _ in range(2):
            scene.driver.signal(signal.SIGINT)
            time.sleep(0.5)
        dataset.trouble.note("driver interrupted twice")
        dataset.end(scene.driver, code=4)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "the end of all it started")
    assert 0 < dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()


def test_a_terminal_is_closed(dataset: Trial) -> None:
    with dataset.running(pace=0.2) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        scene.driver.signal(signal.SIGHUP)
        dataset.trouble.note("terminal closed")
        assert dataset.end(scene.driver, code=4)["status"] == "stopped"
    assert 0 < dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()


@pytest.mark.parametrize("log", ["text", "json"])
def test_nobody_reads_what_is_said(log: str, dataset: Trial) -> None:
    line = [sys.executable, "-c", MAIN, "generate", str(dataset.job), "--log-format", log, "--json"]
    driver = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert driver.stdout is not None and driver.stderr is not None
    driver.stdout.close()
    driver.stderr.close()
    dataset.trouble.note("closed pipes")
    dataset.trouble.starts += 1
    assert driver.wait(timeout=300) == 0
    dataset.trouble.exit_codes.append(0)
    assert dataset.is_as_undisturbed()


def test_clocks_differ_by_hours(dataset: Trial) -> None:
    with dataset.running(pace=1) as first:
        eventually(lambda: dataset.committed() > 0, "a commit")
        for ahead in (HOURS, -HOURS):
            with dataset.running(pace=1, ahead=ahead) as other:
                dataset.trouble.note("clock skew")
                assert other.driver.end() == 5, other.driver.said()
                dataset.trouble.exit_codes.append(5)
                assert f"process {first.driver.pid} on" in other.driver.said()
        dataset.end(first.driver)
    assert dataset.is_as_undisturbed()


def test_a_lease_is_garbage(dataset: Trial) -> None:
    with dataset.running(pace=0.5) as scene:
        eventually(lambda: dataset.committed() > 0, "a commit")
        number = read_sign(dataset.look).number
        dataset.look.write(f"_hardset/lease/{number:08d}.json", b"\x00garbage")
        dataset.trouble.note("lease garbage")
        eventually(lambda: read_sign(dataset.look).holder is not None, "the lease put right")
        scene.driver.kill()
        dataset.trouble.note("driver killed")
    dataset.look.write(f"_hardset/lease/{number:08d}.json", b"{")
    dataset.trouble.note("lease garbage")
    with dataset.running(pace=0) as scene:
        dataset.end(scene.driver)
        assert f"_hardset/lease/{number:08d}.json holds no lease" in scene.driver.said()
    assert read_sign(dataset.look).number == number + 1
    assert dataset.is_as_undisturbed()


def test_the_output_is_removed(dataset: Trial) -> None:
    with dataset.running(pace=0.5) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        shutil.rmtree(dataset.document["output"]["path"], ignore_errors=True)
        dataset.trouble.note("output removed")
        dataset.end(scene.driver, code=1)
        assert "the output is gone" in scene.driver.said()
    assert dataset.manifest() is None
    dataset.resume()
    assert dataset.is_as_undisturbed()


def test_a_source_file_is_replaced(dataset: Trial, tmp_path: Path) -> None:
    from tests.chaos.test_poison import _images, _undisturbed
    from tests.sources.making import write

    source = write(tmp_path / "images.parquet", _images(corrupt=4999, lethal=4998))
    dataset.document["source"] = {"format": "parquet", "path": str(source), "limit": 1000}
    dataset.document["output"]["shard_rows"] = 50
    _undisturbed(dataset, tmp_path / "undisturbed")
    other = write(tmp_path / "other.parquet", _images(corrupt=0, lethal=1))
    kept = source.with_suffix(".kept")
    kept.hardlink_to(source)
    with dataset.running(pace=0.5) as scene:
        eventually(lambda: dataset.committed() > 1, "commits")
        other.replace(source)
        dataset.trouble.note("replaced source")
        code = scene.driver.end()
        dataset.trouble.exit_codes.append(code)
        assert code in (1, 2), scene.driver.said()
        assert "images.parquet has changed since the run was planned" in scene.driver.said()
    assert dataset.manifest() is None
    kept.replace(source)
    assert 0 < dataset.resume()["shards_made"] < len(dataset.undisturbed)
    assert dataset.is_as_undisturbed()


def test_memory_runs_out_while_workers_start(dataset: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.02")
        patch.setenv("RAY_memory_monitor_refresh_ms", "200")
        with dataset.running(pace=0) as scene:
            dataset.trouble.note("memory kill")
            dataset.end(scene.driver, code=1)
        said = scene.driver.said()
        assert "memory ran out on node" in said and "in use), and Ray ended the worker; lower run.actors (2)" in said
        assert "(raylet)" not in said
    dataset.resume()
    assert dataset.is_as_undisturbed()
