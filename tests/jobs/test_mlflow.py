"""`--track mlflow` against a real server on this machine: make mlflow."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardset.jobs.api.tracking import IDENTITY
from hardset.jobs.app import run
from hardset.pipeline.reporting.tracked import of_run
from tests.reporting.dataset import SHIFT, STRONG, Setting, build

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]
SECONDS = 120


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    command += [f"--backend-store-uri=sqlite:///{home}/runs.db", f"--artifacts-destination={home}/artifacts"]
    with (home / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=home) as process:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (home / "log").read_text()
                assert time.monotonic() < until, (home / "log").read_text()
                time.sleep(0.5)
        yield url
        process.terminate()


@pytest.fixture
def out(tmp_path, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    path = tmp_path / "out"
    return path, build(str(path), Setting(recipes=(STRONG, SHIFT), rows=40))


def test_settings_figures_and_report_arrive_once(out, tmp_path, capsys):
    import mlflow

    path, manifest = out
    for told in ("new", "brought up to date"):
        assert run(["report", str(path), "--track", "mlflow"]) == 0
        assert f"of digits-nightly, {told}" in capsys.readouterr().out
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(tmp_path.name)
    (found,) = client.search_runs([experiment.experiment_id])
    told = of_run(manifest)
    assert found.data.params == dict(told.parameters)
    assert found.data.metrics == pytest.approx({figure.name: figure.value for figure in told.figures})
    assert found.data.tags[IDENTITY] == manifest.run_id
    assert found.info.status == "FINISHED"
    kept = client.download_artifacts(found.info.run_id, "report.html", str(tmp_path))
    assert Path(kept).read_bytes() == (path / "report.html").read_bytes()


def test_a_server_that_is_not_there_is_one_sentence(out, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run(["report", str(out[0]), "--track", "mlflow"]) != 0
    said = capsys.readouterr().err.strip()
    assert said.startswith("hardset: --track mlflow: http://127.0.0.1:")
    assert said.endswith("set MLFLOW_TRACKING_URI to a server that answers")
    assert len(said.splitlines()) == 1
