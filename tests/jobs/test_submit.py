"""Submission through Ray Jobs: a real head with a token, real jobs, and every way they can end."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import subprocess
import threading
import time
import venv
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from ray.job_submission import JobDetails, JobStatus
from typer.testing import CliRunner

from hardset.jobs.app import app as hardset_app
from hardset.jobs.cluster import commands
from hardset.jobs.cluster.client import AuthenticationError, Client, RefusedError, UnreachableError
from hardset.jobs.cluster.commands import entrypoint, refuse_relative_paths
from hardset.jobs.cluster.following import connect, follow
from hardset.jobs.cluster.shipping import Parcel
from hardset.jobs.cluster.submissions import packed, submit_once
from hardset.jobs.terminal.console import Exit
from hardset.jobs.verbs.submit import submit
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job, parse_job
from hardset.schemas.records.results import Refused
from tests.ray_head import ray_head
from tests.support import hardset


def job_of(name: str, **output: Any) -> Job:
    return parse_job(
        {
            "name": name,
            "source": {"format": "digits"},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": "/data/out", **output},
            "run": {"actors": 1},
        }
    )


@pytest.fixture(scope="module")
def head() -> Iterator[tuple[str, str]]:
    """Address and token of a Ray head of this module's own."""
    with ray_head() as place:
        yield place


@pytest.fixture
def client(head: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("RAY_AUTH_TOKEN", head[1])
    # Ray would follow this address instead of the one that was asked for.
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    return connect(head[0])


def run(client: Client, job: Job, entrypoint: str) -> tuple[Any, str]:
    shown: list[str] = []
    submission = submit_once(client, job, entrypoint)
    return follow(client, submission.id, show=shown.append, poll_s=0.1), "".join(shown)


def test_a_success_ships_the_resolved_job_and_brings_back_the_result(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "airflow/dag.task/run")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret-of-here")
    # Lines of other programs, and logs that are JSON too, are not taken for the result.
    after = """echo '{"event": "ended", "exit_code": 9}'; echo '{"rows": 3}'; echo "the end" """
    entrypoint = f"""cat job.yaml; env | grep OPENLINEAGE_; echo '{{"exit_code": 0, "rows": 3}}'; {after}"""
    outcome, log = run(client, job_of("ok"), entrypoint)
    result = {"exit_code": 0, "rows": 3}
    assert (outcome.status, outcome.exit_code, outcome.result) == ("SUCCEEDED", Exit.DONE, result)
    # The resolved job: defaults that the file left out are there.
    assert "shard_rows: 2048" in log and "name: ok" in log
    assert "OPENLINEAGE_PARENT_ID=airflow/dag.task/run" in log and "secret-of-here" not in log


@pytest.mark.parametrize(
    ("entrypoint", "code"),
    [("exit 3", Exit.PARTIAL), ("kill -9 $$", Exit.FAILED)],
)
def test_a_failure_keeps_the_drivers_own_exit_code(client: Client, entrypoint: str, code: Exit) -> None:
    outcome, _ = run(client, job_of(f"fails-{int(code)}"), f"sh -c '{entrypoint}'")
    assert (outcome.status, outcome.exit_code) == ("FAILED", code)


def test_a_running_job_is_joined_and_a_stopped_one_is_no_success(client: Client) -> None:
    job = job_of("long")
    first = submit_once(client, job, "sleep 100")
    assert not first.joined
    again = submit_once(client, job, "sleep 100")
    assert (again.id, again.joined) == (first.id, True)
    other = submit_once(client, job_of("long", png_level=9), "true")
    assert other.id.rpartition("-")[0] != first.id.rpartition("-")[0]
    deadline = time.monotonic() + 20
    while client.job(first.id).status.value == "PENDING" and time.monotonic() < deadline:
        time.sleep(0.1)
    client.ray.stop_job(first.id)
    outcome = follow(client, first.id, show=lambda _: None, poll_s=0.1)
    assert (outcome.status, outcome.exit_code) == ("STOPPED", Exit.STOPPED)
    anew = submit_once(client, job, "true")
    night = submit_once(client, job.model_copy(update={"logical_date": "2026-11-25"}), "true")
    assert night.id.startswith("hardset-long-2026-11-25-") and not night.joined
    assert (anew.joined, int(anew.id.rpartition("-")[2])) == (False, int(first.id.rpartition("-")[2]) + 1)


def test_submitters_in_a_race_end_up_at_one_job(client: Client) -> None:
    job, submissions = job_of("race"), []
    threads = [
        threading.Thread(target=lambda: submissions.append(submit_once(client, job, "sleep 30"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({s.id for s in submissions}) == 1
    assert sorted(s.joined for s in submissions) == [False, True, True, True]
    client.ray.stop_job(submissions[0].id)


def test_a_job_the_cluster_does_not_know_is_lost(client: Client) -> None:
    with pytest.raises(RunError, match="no longer knows"):
        follow(client, "hardset-never-1", show=lambda _: None, poll_s=0.1)


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_a_missing_or_wrong_token_is_named(
    head: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(AuthenticationError, match="RAY_AUTH_TOKEN"):
        connect(head[0])


def test_the_command_waits_and_returns_what_the_driver_returned(
    client: Client, head: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(submit)
    driver = """echo '{"status": "incomplete", "exit_code": 3}'; exit 3"""
    monkeypatch.setattr(commands, "entrypoint", lambda **_: driver)
    path = tmp_path / "job.yaml"
    path.write_text(
        "{name: cli, source: {format: digits}, output: {path: /data}, recipes: [{kind: augment, ops: [{name: hflip}]}]}"
    )
    result = CliRunner().invoke(app, [str(path), "--address", head[0], "--json", "--set", "seed=5"])
    assert result.exit_code == Exit.PARTIAL, result.output
    assert '"exit_code":3' in result.stdout.splitlines()[-1]


PROBE = """python -c "
import importlib.metadata, json, ray, hardset.jobs, nets
ray.init('auto', log_to_driver=False)
there = ray.remote(lambda: (__import__('hardset').__file__, __import__('nets').SIZE))
result = {'exit_code': 0, 'version': importlib.metadata.version('hardset'), 'nets': nets.SIZE}
print(json.dumps(result | {'jobs': hardset.jobs.__file__, 'actors': ray.get(there.remote())}))
" """


def test_code_and_modules_go_along_and_reach_driver_and_actors(client: Client, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("SIZE = 7\n")
    job = job_of("shipped")
    submission = submit_once(client, job, PROBE, Parcel(modules=(tmp_path / "nets.py",)))
    result = follow(client, submission.id, show=lambda _: None, poll_s=0.1).result
    assert "py_modules_files" in result["jobs"] and "py_modules_files" in result["actors"][0], result
    assert (result["nets"], result["actors"][1]) == (7, 7)
    assert result["version"] == importlib.metadata.version("hardset")


@pytest.mark.slow
def test_a_stopped_driver_has_longer_than_rays_three_seconds(client: Client, tmp_path: Path) -> None:
    """The limit that goes with the job reaches its supervisor; without it Ray kills the driver 3 s after SIGTERM."""
    mark = tmp_path / "mark"
    script = f"trap 'sleep 4; touch {mark}; exit 4' TERM; echo ready; while :; do sleep 0.1; done"
    submission = submit_once(client, job_of("graceful"), f"""exec bash -c "{script}" """)
    wait_for(lambda: "ready" in client.log(submission.id))
    result = verb(client, "stop", submission.id)
    assert (result.exit_code, mark.exists()) == (0, True), result.output
    assert json.loads(result.stdout.splitlines()[-1])["status"] == "STOPPED"
    again = verb(client, "stop", submission.id)
    assert (again.exit_code, json.loads(again.stdout.splitlines()[-1])["asked_to_stop"]) == (0, False)


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def verb(client: Client, name: str, *arguments: str, as_json: bool = True) -> Any:
    line = [name, *arguments, "--address", client.address, *(["--json"] if as_json else [])]
    return CliRunner().invoke(hardset_app, line)


def test_a_job_is_found_by_its_file_and_its_log_is_shown(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_of("found").model_dump(mode="json")))
    assert verb(client, "logs", str(path), as_json=False).exit_code != 0
    submission = submit_once(client, load_job(path), "for i in 1 2 3; do echo line $i; done; exit 3")
    followed = verb(client, "logs", str(path), "--follow", as_json=False)
    assert followed.exit_code == 0 and "line 1\nline 2\nline 3\n" in followed.stdout, followed.output
    assert followed.stdout.count("line 3") == 1
    last = verb(client, "logs", submission.id, "--lines", "2", as_json=False).stdout
    assert last.splitlines() == client.log(submission.id).splitlines()[-2:]
    state = json.loads(verb(client, "status", str(path)).stdout.splitlines()[-1])["submissions"]
    assert [(s["submission_id"], s["status"], s["exit_code"]) for s in state] == [(submission.id, "FAILED", 3)]
    everything = json.loads(verb(client, "status").stdout.splitlines()[-1])["submissions"]
    assert submission.id in [s["submission_id"] for s in everything]


def test_an_unknown_submission_is_a_bad_argument(client: Client) -> None:
    for name in ("stop", "logs", "status"):
        result = verb(client, name, "hardset-never-0-1", as_json=False)
        assert isinstance(result.exception, JobError) and "knows no such job" in str(result.exception)


@pytest.mark.slow
def test_the_real_command_makes_the_dataset_on_the_cluster(client: Client, tmp_path: Path) -> None:
    job = job_of("real", path=str(tmp_path / "out"))
    for shipped in (True, False):
        submission = submit_once(client, job, entrypoint(), Parcel(shipped))
        outcome = follow(client, submission.id, show=lambda _: None, poll_s=0.1)
        assert outcome.exit_code is Exit.DONE, client.log(submission.id)
        assert outcome.result["totals"]["rows_out"] == 1797
        assert outcome.result["status"] == ("complete" if shipped else "nothing to do")


STUCK = """
import time
from hardset.pipeline.models.zoo import small_cnn

def net():
    model = small_cnn()
    # Trying the model takes 16 rows, and its clean accuracy no gradient; an attack on a shard brings both.
    model.register_forward_pre_hook(
        lambda _, inputs: time.sleep(600) if len(inputs[0]) > 16 and inputs[0].requires_grad else None
    )
    return model
"""


@pytest.mark.slow
def test_a_stopped_driver_drops_its_stuck_shard_and_leaves_its_result(client: Client, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    document = job_of("stuck", path=str(tmp_path / "out")).model_dump(mode="json")
    document |= {
        "model": {"factory": "stuck:net", "classes": 10},
        "recipes": [{"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "8/255"}],
    }
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(document))
    submitted = verb(client, "submit", str(job), "--no-wait", "--grace-seconds", "8")
    assert submitted.exit_code == 0, submitted.output
    submission = json.loads(submitted.stdout.splitlines()[-1])["submission_id"]
    wait_for(lambda: list(tmp_path.glob("out/_hardset/lease/*.json")), 60)
    wait_for(lambda: "0 of 2 shards" in client.log(submission), 60)
    time.sleep(5)  # until the actor has the shard
    started = time.monotonic()
    stopped = verb(client, "stop", str(job))
    assert stopped.exit_code == 0 and time.monotonic() - started < 8 + 5, stopped.output
    told = json.loads(stopped.stdout.splitlines()[-1])
    assert (told["status"], told["exit_code"]) == ("STOPPED", Exit.STOPPED)
    assert (told["result"]["status"], told["result"]["exit_code"]) == ("stopped", Exit.STOPPED), client.log(submission)
    state = json.loads(hardset("status", str(tmp_path / "out"), "--json").stdout.splitlines()[-1])["runs"][0]
    assert (state["state"], state["shards_done"]) == ("not finished, nobody at work", 0)


@pytest.mark.slow
def test_the_interpreter_of_the_cluster_is_taken_though_it_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray runs in an environment off the PATH, whose `python` has none of the libraries."""
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_of("off", path=str(tmp_path / "out")).model_dump(mode="json")))
    with ray_head(on_path=False) as (address, token):
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        client = connect(address)
        done = verb(client, "submit", str(path))
        told = json.loads(done.stdout.splitlines()[-1])
        assert (told["status"], told["exit_code"]) == ("SUCCEEDED", Exit.DONE), client.log(told["submission_id"])
        listed = json.loads(verb(client, "jobs").stdout.splitlines()[-1])["submissions"]
        assert [(one["submission_id"], one["exit_code"]) for one in listed] == [(told["submission_id"], 0)]


def test_an_interpreter_that_lacks_a_library_says_so_and_nothing_runs(tmp_path: Path) -> None:
    """Started outside of Ray, the script takes the `python` of the PATH: here an empty environment."""
    venv.create(tmp_path / "env", symlinks=True)
    with packed(job_of("bare"), Parcel()) as (working, packages):
        line = shlex.split(entrypoint())
        environment = {"PATH": f"{tmp_path / 'env' / 'bin'}:/usr/bin:/bin"}
        places = environment | {"PYTHONPATH": os.pathsep.join(str(Path(one).parent) for one in packages)}
        bare = subprocess.run(line, cwd=working, env=environment, capture_output=True, text=True, check=False)
        lacking = subprocess.run(line, cwd=working, env=places, capture_output=True, text=True, check=False)
    for done, sentence in ((bare, "has no hardset"), (lacking, "lacks what hardset needs")):
        assert done.returncode == Exit.BAD_JOB, done.stderr
        refused = Refused.model_validate_json(done.stdout.splitlines()[-1])
        assert sentence in refused.error
        assert refused.exit_code == Exit.BAD_JOB


def test_a_cluster_of_another_ray_is_refused_before_anything_is_sent(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "ray_version", lambda _: "2.40.0")
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_of("old").model_dump(mode="json")))
    before = len(client.jobs())
    done = verb(client, "submit", str(path), "--no-wait")
    assert isinstance(done.exception, RunError)
    assert "runs Ray 2.40.0, and hardset wants ray<3,>=2.60" in str(done.exception)
    assert len(client.jobs()) == before
    monkeypatch.undo()
    assert client.ray_version() == importlib.metadata.version("ray")


class Door(BaseHTTPRequestHandler):
    """A job API that lets anyone in."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ray_version": "2.60.0"}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def open_door() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_an_open_job_api_off_loopback_is_refused(open_door: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.0.0.0 reaches this machine, yet is no loopback address.
    address = f"http://0.0.0.0:{open_door}"
    with pytest.raises(RunError, match=r"anyone can run code there.*--insecure"):
        connect(address)
    assert connect(address, insecure=True).ray
    assert connect(f"http://127.0.0.1:{open_door}").ray


@pytest.mark.parametrize("address", ["ray://host:10001", "auto", "host:8265", "", "http://"])
def test_what_is_no_job_api_is_a_bad_argument(address: str) -> None:
    with pytest.raises(JobError, match="http://HOST:8265"):
        connect(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
def test_an_address_out_of_reach_is_one_sentence_without_secrets(host: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        connect(f"http://user:secret@{host}:9", insecure=True)
    assert "cannot be reached" in str(caught.value) and "secret" not in str(caught.value)


class Scripted:
    """A job API that answers as the test says; its log never opens."""

    address = "http://head:8265"
    ray = None

    def __init__(self, *answers: Exception | str) -> None:
        self.answers = list(answers)

    def job(self, _: str) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, _, code = answer.partition(" ")
        exit_code = int(code) if code else None
        return JobDetails(type="SUBMISSION", status=JobStatus(status), entrypoint="", driver_exit_code=exit_code)

    def log(self, _: str) -> str:
        raise UnreachableError("away")


def scripted(*answers: Exception | str) -> Callable[[], Any]:
    api: Any = Scripted(*answers)
    return lambda: follow(api, "hardset-x-1", show=lambda _: None, poll_s=0.01, lost_after_s=0.3)


def test_contact_that_comes_back_is_not_lost() -> None:
    away, unwell = UnreachableError("away"), RefusedError(500, "GCS is down", "")
    assert scripted("RUNNING", away, unwell, away, "RUNNING", away, "SUCCEEDED")().exit_code == Exit.DONE


def test_contact_that_stays_away_is_never_success() -> None:
    with pytest.raises(RunError, match=r"lost contact.*submit again to join"):
        scripted("RUNNING", UnreachableError("away"))()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("SUCCEEDED 0", Exit.DONE),
        ("FAILED", Exit.FAILED),
        ("FAILED 0", Exit.FAILED),
        ("FAILED -9", Exit.FAILED),
        ("FAILED 127", Exit.FAILED),
        ("FAILED 2", Exit.BAD_JOB),
        ("FAILED 4", Exit.STOPPED),
        ("STOPPED", Exit.STOPPED),
        ("STOPPED 0", Exit.STOPPED),
    ],
)
def test_every_end_has_an_exit_code_of_the_contract(end: str, code: Exit) -> None:
    assert scripted("PENDING", end)().exit_code is code


def test_paths_that_the_cluster_cannot_see_are_refused() -> None:
    with pytest.raises(JobError) as caught:
        refuse_relative_paths(job_of("x", path="out/"), name="job.yaml")
    assert str(caught.value).startswith("job.yaml: output.path: got 'out/'; on a cluster it wants a URL")
    for path in ("/data/out", "s3://bucket/out", "memory://out"):
        refuse_relative_paths(job_of("x", path=path), name="job.yaml")


def test_weights_of_members_and_held_out_models_are_paths_too() -> None:
    net = {"factory": "a:b", "weights": "net.pt", "arguments": {"path": "the factory's own affair"}}
    document = job_of("x").model_dump(mode="json") | {
        "recipes": [{"kind": "attack", "name": "pgd", "eps": "8/255"}],
        "model": {**net, "weights": "/data/net.pt", "classes": 10, "members": [net]},
        "transfer_to": [{"name": "rival", **net}],
    }
    with pytest.raises(JobError) as caught:
        refuse_relative_paths(parse_job(document), name="job.yaml")
    told = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(told) == ["model.members.0.weights", "transfer_to.0.weights"]
