"""Events on their way to a server that answers, hangs or refuses: a run is never failed, nor held for long."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from hardset.pipeline.dataset.provenance import emission
from hardset.pipeline.dataset.provenance.emission import configured, emitting
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.storage.folder import Folder
from tests.dataset.examples import RUN, plan_of


class Server(ThreadingHTTPServer):
    """Keeps what is posted; answers once `released`, with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[dict[str, Any]] = []
        self.released = Event()
        self.status = 201

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.released.wait(20)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.released.set()
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def emit(folder: Folder, cap: float = 5.0) -> tuple[list[str], float]:
    """The warnings of a stopped run's two events, and the seconds they took."""
    told: list[str] = []
    start = time.monotonic()
    with emitting(told.append, cap=cap) as send, Lineage(folder, plan_of(), send):
        pass
    return told, time.monotonic() - start


def lines(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.read(f"_hardset/runs/{RUN}/openlineage.jsonl").splitlines()]


def test_a_server_gets_what_is_recorded(server: Server, disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    server.released.set()
    told, _ = emit(disk)
    assert told == []
    assert [event["eventType"] for event in server.posted] == ["START", "ABORT"]
    for sent, kept in zip(server.posted, lines(disk), strict=True):
        assert set(sent["run"]["facets"].pop("tags")) > {"tags"}, "the client says its own version"
        for dataset in kept["outputs"]:
            dataset.setdefault("outputFacets", {})
        assert {**sent, "schemaURL": kept["schemaURL"]} == kept


def test_a_server_that_hangs_costs_the_cap_and_a_warning(
    server: Server, disk: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    told, seconds = emit(disk, cap=0.5)
    assert seconds < 5, "the server hangs for 20 s"
    assert told == [
        "OpenLineage events could not be sent (no answer within 0.5 s); they are in openlineage.jsonl of the run"
    ]
    assert len(lines(disk)) == 2


def refusing() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://user:secret@127.0.0.1:{free.getsockname()[1]}"


def test_a_server_that_refuses_costs_a_warning_without_its_address(
    disk: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (Path.cwd() / "openlineage.yml").write_text(
        f"transport: {{type: http, url: '{refusing()}', retry: {{total: 0}}}}\n"
    )
    told, _ = emit(disk)
    assert told == ["OpenLineage events could not be sent (ConnectionError); they are in openlineage.jsonl of the run"]
    assert "secret" not in "".join(capfd.readouterr())
    assert len(lines(disk)) == 2


def test_a_server_that_answers_with_an_error_costs_a_warning(
    server: Server, disk: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    server.status = 403
    server.released.set()
    [told] = emit(disk)[0]
    assert "HTTPError" in told


def test_a_wrong_configuration_costs_a_warning(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.cwd() / "openlineage.yml").write_text("transport: {type: none.such.Transport}\n")
    [told] = emit(disk)[0]
    assert told.startswith("OpenLineage events could not be sent (")


def test_without_the_library_one_sentence_says_what_to_install(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise emission.PackageNotFoundError(name)

    monkeypatch.setattr(emission, "version", missing)
    assert emit(disk)[0] == []
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    [told] = emit(disk)[0]
    assert "pip install 'hardset[lineage]'" in told


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, False),
        ({"OPENLINEAGE_URL": "http://x"}, True),
        ({"OPENLINEAGE_URL": "http://x", "OPENLINEAGE_DISABLED": "True"}, False),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "console"}, True),
        ({"OPENLINEAGE_NAMESPACE": "x"}, False),
    ],
)
def test_only_openlineages_own_settings_configure_it(environment: dict[str, str], answer: bool) -> None:
    assert configured(environment) is answer


def test_a_file_in_the_home_folder_configures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / ".openlineage").mkdir(parents=True)
    environment = {"HOME": str(tmp_path / "home")}
    assert not configured(environment)
    (tmp_path / "home" / ".openlineage" / "openlineage.yml").touch()
    assert configured(environment)

    def refuse(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_file", refuse)
    assert not configured(environment)


def test_a_process_ends_though_the_server_hangs(server: Server, tmp_path: Path) -> None:
    code = (
        "import sys; from hardset.pipeline.dataset.provenance.emission import emitting\n"
        "event = {'eventTime': '2026-01-01T00:00:00+00:00', 'producer': 'urn:x:y', 'eventType': 'START',"
        f" 'run': {{'runId': '{RUN}'}}, 'job': {{'namespace': 'n', 'name': 'j'}}, 'inputs': [], 'outputs': []}}\n"
        "with emitting(lambda text: print(text), cap=1.5) as send: send(event)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OPENLINEAGE_URL": server.url, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no answer within 1.5 s" in done.stdout
