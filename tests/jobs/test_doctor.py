"""`hardset doctor`: each thing that a run needs is looked at, and what is not usable is told with its remedy."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.jobs.api import doctor
from hardset.jobs.machine import cluster_checks, machine_checks
from hardset.jobs.machine.cluster_checks import node_check
from hardset.jobs.machine.job_checks import place_checks
from hardset.jobs.machine.machine_checks import device_check, extra_checks, libraries_check, memory_check
from hardset.jobs.machine.needs import extras, unmet
from hardset.jobs.terminal.console import Exit
from hardset.pipeline.cluster import machine, memory
from hardset.pipeline.cluster.machine import Room
from hardset.pipeline.cluster.nodes import NodeFacts, facts_here
from hardset.schemas.job.extras import EXTRAS, needed_extras
from hardset.schemas.job.job import Run
from hardset.schemas.limits import GIB
from hardset.schemas.reading.loading import load_job
from hardset.schemas.records.examination import Check, Examined
from tests.support import hardset, last_json

WriteJob = Callable[..., Path]
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the seconds of starting Ray, which one test here takes."""

    def skipped(run: Run | None) -> Iterator[Check]:
        yield memory_check()

    monkeypatch.setattr(cluster_checks, "local_checks", skipped)


def states(found: Examined) -> dict[str, str]:
    return {check.name: check.state for check in found.checks}


def test_a_machine_and_a_job_that_can_run_are_usable(write_job: WriteJob, tmp_path: Path) -> None:
    path = write_job()
    done = hardset("doctor", str(path), "--json")
    assert done.returncode == Exit.DONE, done.stdout
    found = Examined.model_validate(last_json(done))
    told = {check.name: check for check in found.checks}
    needed = ("python", "libraries", "job", "extras", "source", "model", "output.path", "ray")
    assert {told[name].state for name in needed} == {"ok"}
    assert list(tmp_path.rglob("*")) == [path], "nothing is left behind"
    assert f"torch {version('torch')}" in told["libraries"].told
    assert "2 actors take 0." in told["memory"].told
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["python:", "libraries:", "job:"]
    assert "All that is needed is usable" in lines[-2]


@pytest.mark.usefixtures("_without_ray")
@pytest.mark.parametrize(
    ("changes", "name", "sentence"),
    [
        ({"output": {"path": "/proc/hardset/out"}}, "output.path", "cannot be written to"),
        ({"source": {"format": "npz", "path": "gone.npz"}}, "source", "gone.npz"),
        (
            {"model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "weights": "gone.pt", "classes": 10}},
            "model",
            "no such file",
        ),
        ({"model": {"factory": "no_such_module:net", "classes": 10}}, "model", "no_such_module cannot be imported"),
        ({"seed": "seven"}, "job", "seed"),
    ],
)
def test_what_a_job_needs_and_cannot_use_is_told_and_all_else_is_looked_at_too(
    write_job: WriteJob, changes: dict[str, Any], name: str, sentence: str
) -> None:
    done = hardset("doctor", str(write_job(**changes)), "--json")
    found = Examined.model_validate(last_json(done))
    (failed,) = [check for check in found.checks if check.state == "failed"]
    assert failed.name == name
    assert sentence in failed.told
    assert (done.returncode, found.status, found.exit_code) == (Exit.BAD_JOB, "failed", Exit.BAD_JOB)
    assert {"python", "libraries", "devices", "memory", "shared memory"} <= states(found).keys()
    assert done.stderr == ""


def test_a_torch_that_does_not_load_is_told_and_nothing_that_needs_it_is_tried(
    write_job: WriteJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_checks, "connected", None)
    path = write_job()
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor.examine(path)
    devices = next(check for check in found.checks if check.name == "devices")
    assert (devices.state, found.exit_code) == ("failed", Exit.BAD_JOB)
    assert devices.told.startswith("torch cannot be loaded: ModuleNotFoundError: ")
    assert devices.remedy == "install torch again, for this machine's CUDA"
    assert [check.name for check in found.checks][-2:] == ["shared memory", "memory"]
    assert not {"ray", "source", "model", "output.path"} & states(found).keys()


def test_no_ray_is_started_for_a_job_that_asks_for_none(write_job: WriteJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_checks, "connected", None)
    found = doctor.examine(write_job(run={"actors": 0}))
    assert (found.status, states(found)["ray"]) == ("usable", "absent")


@pytest.mark.usefixtures("_without_ray")
def test_an_evaluation_and_a_file_that_is_not_there(weights: dict[str, str], tmp_path: Path) -> None:
    network = f"{{name: victim, factory: hardset.pipeline.models.zoo:small_cnn, weights: {weights['victim']}}}"
    path = tmp_path / "evaluation.yaml"
    path.write_text(
        f"name: e\nsource: {{format: digits}}\nclasses: 10\nmodels: [{network}]\nthreats: [{{eps: 8/255}}]\n"
        f"output: {{path: {tmp_path / 'out'}}}\n"
    )
    found = doctor.examine(path)
    assert (found.status, states(found)["models.0"], states(found)["output.path"]) == ("usable", "ok", "ok")
    assert states(doctor.examine(tmp_path / "gone.yaml"))["job"] == "failed"


def test_the_extra_that_a_url_needs_is_named_with_how_to_install_it(write_job: WriteJob) -> None:
    hugging = {"format": "huggingface", "weights": "hf://org/net", "classes": 10}
    source = {"format": "delta", "path": "zip://a.zip::gs://bucket/rows"}
    job = load_job(write_job(source=source, model=hugging, output={"path": "s3a://bucket/out"}))
    needed = needed_extras(job)
    assert needed == {
        **{"gcs": "source.path", "hf": "model.weights", "s3": "output.path"},
        **{"delta": "source.format", "huggingface": "model.format"},
    }
    there, *missing = extra_checks(needed, lambda extra: extra not in ("gcs", "azure"))
    assert "s3, hf, huggingface" in there.told
    assert {check.name: (check.state, check.remedy) for check in missing} == {
        "extra gcs": ("failed", "pip install 'hardset[gcs]'"),
        "extra azure": ("absent", "pip install 'hardset[azure]'"),
    }


def test_every_extra_that_users_install_has_its_purpose() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    ours = {"lint", "test", "dev", "mutants", "bench", "tensorflow"}
    assert set(project["optional-dependencies"]) - ours == set(EXTRAS)
    assert {"s3", "test"} <= set(extras())


DISTRIBUTION = """Metadata-Version: 2.4
Name: needy
Version: 1
Provides-Extra: more
Requires-Dist: torch>=2
Requires-Dist: numpy>=999
Requires-Dist: no-such-library>=1
Requires-Dist: win-only; sys_platform == "win32"
Requires-Dist: ray[default]>=2; extra == "more"
Requires-Dist: no-such-extra; extra == "more"
"""


def test_requirements_are_held_against_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy-1.dist-info").mkdir()
    (tmp_path / "needy-1.dist-info" / "METADATA").write_text(DISTRIBUTION)
    monkeypatch.syspath_prepend(tmp_path)
    lacking = [("numpy>=999", version("numpy")), ("no-such-library>=1", None)]
    assert [(one.wanted, one.found) for one in unmet(distribution="needy")] == lacking
    assert [(one.wanted, one.found) for one in unmet("more", "needy")] == [("no-such-extra", None)]
    assert unmet(distribution="not-installed") == []
    monkeypatch.setattr(machine_checks, "unmet", lambda: unmet(distribution="needy"))
    check = libraries_check()
    assert (check.state, check.remedy) == ("failed", "pip install 'numpy>=999' 'no-such-library>=1'")


def test_the_libraries_are_checked_by_the_standard_library_alone() -> None:
    code = (
        "import sys; sys.modules['packaging'] = None; from hardset.jobs.machine import needs; needs.main(); "
        "print(sorted({'torch', 'ray', 'typer', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_memory_and_cores_are_those_of_the_cgroup_where_it_has_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_OWN", tmp_path / "none")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")

    def group(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / name.replace("_", ".", 1)).write_text(text)

    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    assert machine.memory() == Room(4 * GIB, 8 * GIB)
    group(memory_max="max\n", memory_current=f"{GIB}\n")
    assert machine.memory() == Room(4 * GIB, 8 * GIB)
    group(memory_max=f"{2 * GIB}\n", memory_stat=f"anon 5\ninactive_file {GIB // 2}\n")
    assert machine.memory() == Room(GIB + GIB // 2, 2 * GIB)
    check = memory_check(actors=4, resident=GIB)
    assert (check.state, check.remedy) == ("failed", "lower run.actors to 1 or fewer")
    assert memory_check(actors=1, resident=GIB).state == "ok"
    group(memory_current=f"{2 * GIB}\n", memory_stat="inactive_file 0\n")
    assert memory_check().state == "warning"
    group(cpu_max="50000 100000\n")
    assert machine.cores() == 0.5
    group(cpu_max="max 100000\n")
    assert machine.cores() >= 1


def test_little_shared_memory_is_told_with_how_to_get_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "shared_memory", lambda: Room(64 << 20, 64 << 20))
    check = machine_checks.shared_memory_check()
    assert check.state == "warning"
    assert "--shm-size" in (check.remedy or "")


def test_devices_are_held_against_what_the_actors_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine_checks, "cores", lambda: 2.0)
    assert device_check(None).told == "no GPU; 2 CPU cores"
    assert device_check(Run(gpus_per_actor=1)).state == "failed"
    crowded = device_check(Run(actors=8))
    assert (crowded.state, crowded.remedy) == ("warning", "lower run.actors to 2")
    assert device_check(Run(actors=2)).state == "ok"


def test_a_node_is_held_against_this_interpreter() -> None:
    here = {"python": "3.12.1", "torch": "2.13.0", "platform": "Linux x86_64"}

    def state(missing: tuple[str, ...] = (), **versions: str) -> str:
        node = NodeFacts("worker", "/venv/bin/python", here | versions, missing, (), None, 0)
        check = node_check(node, here)
        return f"{check.state}: {check.told}"

    assert state(platform="Linux aarch64").startswith("ok")
    assert state(torch="2.12.0").endswith("torch 2.12.0 (here 2.13.0)")
    assert state(python="3.12.4").startswith("warning")
    assert state(python="3.11.9").startswith("failed")
    assert state(("/data/photos",)).endswith("has no /data/photos")
    assert node_check("worker: its Python has no module hardset", here).state == "failed"


def test_a_process_knows_which_paths_it_sees(tmp_path: Path) -> None:
    found = facts_here([str(tmp_path), str(tmp_path / "gone")])
    assert (found.interpreter, found.missing) == (sys.executable, (str(tmp_path / "gone"),))
    assert found.resident > 50 << 20


def test_a_generator_that_is_still_to_be_trained_is_no_failure(write_job: WriteJob, tmp_path: Path) -> None:
    generator = {"weights": str(tmp_path / "gan.safetensors")}
    job = load_job(write_job(recipes=[{"kind": "sample", "generator": generator, "per_class": 1}]))
    (check,) = [one for one in place_checks(job) if one.name.startswith("recipes")]
    assert (check.state, check.remedy) == ("warning", "hardset train-gan JOB trains it")
    (tmp_path / "gan.safetensors").touch()
    assert "ok" in [one.state for one in place_checks(job) if one.name.startswith("recipes")]
