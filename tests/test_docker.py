"""The files of docker/: linted, checked against the schemas of what reads them, and true to the command line."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from jsonschema import Draft202012Validator

from hardset.jobs.app import app
from hardset.jobs.cluster.commands import entrypoint, refuse_relative_paths
from hardset.schemas.reading.loading import parse_job

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def documents(name: str) -> dict[str, Any]:
    """The documents of a file by kind; compose files have none."""
    parsed = yaml.safe_load_all((DOCKER / name).read_text())
    return {document.get("kind", "compose"): document for document in parsed}


def compose() -> dict[str, Any]:
    return dict(documents("compose.yaml")["compose"])


def test_hadolint_finds_nothing() -> None:
    command = [Path(sys.executable).with_name("hadolint"), DOCKER / "Dockerfile"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_is_built_from_files_that_are_there_and_let_in() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text()
    sources = [s for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE) for s in line.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert re.search(rf"^!{re.escape(source)}$", ignore, re.MULTILINE), f"{source} is kept out of the build"
    assert set(re.search(r"ARG EXTRAS=(.*)", text)[1].split(",")) <= set(PROJECT["optional-dependencies"])
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert f'version="{PROJECT["version"]}"' in text


def test_versions_agree() -> None:
    """One image for head, workers and driver: KubeRay must be told the Ray that is in it."""
    ray = re.search(r"ARG RAY_VERSION=(.*)", (DOCKER / "Dockerfile").read_text())[1]
    assert documents("rayjob.yaml")["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"] == ray
    images = {
        i
        for n in ("rayjob.yaml", "raycronjob.yaml", "cronjob.yaml")
        for i in re.findall(r"image: (\S+)", (DOCKER / n).read_text())
    }
    assert {i.removesuffix("-cuda") for i in images} == {f"hardset:{PROJECT['version']}"}
    assert f"hardset:{PROJECT['version']}" in compose()["x-ray"]["image"]


class NoDuplicates(yaml.SafeLoader):
    """Refuses a key that occurs twice in one mapping, as Compose and Kubernetes do; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{sorted(twice)} twice{node.start_mark}"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*.y*ml")), ids=lambda path: path.name)
def test_no_key_is_given_twice(path: Path) -> None:
    for document in yaml.load_all(path.read_text(), Loader=NoDuplicates):
        assert document


def test_the_cronjob_is_valid_strictly_and_never_overlaps() -> None:
    for document in documents("cronjob.yaml").values():
        kubernetes_validate.validate(document, "1.33", strict=True)
    spec = documents("cronjob.yaml")["CronJob"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    rules = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    codes = next(rule["onExitCodes"] for rule in rules if "onExitCodes" in rule)
    container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert (codes["containerName"], codes["values"]) == (container["name"], [2, 3])


def closed(schema: Any) -> Any:
    """The schema with unknown keys refused, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        inner["additionalProperties"] = False
    return inner


@pytest.mark.parametrize(("kind", "plural"), [("RayJob", "rayjobs"), ("RayCronJob", "raycronjobs")])
def test_kuberays_manifests_fit_their_definitions(shared_data: Path, kind: str, plural: str) -> None:
    packed = shared_data / "schemas" / "kuberay" / f"ray.io_{plural}.yaml.gz"
    if not packed.is_file():
        pytest.skip(f"no definition of {kind} in the folder of real data")
    # The definition has 25,000 lines: ten seconds for the loader that is pure Python.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load(gzip.decompress(packed.read_bytes()), Loader=loader)
    version = next(v for v in definition["spec"]["versions"] if v["name"] == "v1")
    check = Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))
    job = documents(f"{kind.lower()}.yaml")[kind]
    check.validate(job)
    job["spec"]["backofLimit"] = 1
    assert not check.is_valid(job), "the check must refuse a key that is misspelt"


def test_the_raycronjob_runs_what_the_rayjob_runs_and_survives_a_storm() -> None:
    nightly = documents("raycronjob.yaml")["RayCronJob"]["spec"]["jobTemplate"]
    once = documents("rayjob.yaml")["RayJob"]["spec"]
    command = nightly.pop("entrypoint")
    assert command == once.pop("entrypoint").replace(" --json", " --logical-date auto --if-held skip --json")
    assert "--if-held skip" in command, "of the nights that start at once after a suspension one works, and none fails"
    text = json.dumps(nightly).replace("hardset-nightly-ray", "hardset-job")
    assert json.loads(text) == once
    jobs = [documents(name)["ConfigMap"]["data"]["job.yaml"] for name in ("raycronjob.yaml", "rayjob.yaml")]
    assert jobs[0] == jobs[1]


@pytest.mark.parametrize("name", ["airflow_dag.py", "dagster_assets.py"])
def test_the_snippets_of_schedulers_compile_and_call_what_hardset_takes(name: str) -> None:
    text = (DOCKER / name).read_text()
    compile(text, name, "exec")
    (command,) = re.findall(r"command = \[(.*?)\]\n", text)
    line = [word.strip('"') for word in command.split(", ")]
    assert line[:2] == ["hardset", "submit"] and line[-1] == "--json"
    group = typer.main.get_command(app)
    arguments = ["submit", *[word.replace("JOB", "/job.yaml") for word in line[2:]]]
    with group.make_context("hardset", arguments) as context:
        _, verb, rest = group.resolve_command(context, arguments)
        verb.make_context("submit", rest)


def test_the_rayjob_keeps_actors_off_the_head_and_costs_nothing_when_idle() -> None:
    spec = documents("rayjob.yaml")["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["authOptions"] == {"mode": "token"}
    assert spec["shutdownAfterJobFinishes"] is True
    assert [group["minReplicas"] for group in cluster["workerGroupSpecs"]] == [0]


def test_compose_opens_nothing_to_the_network_and_wants_a_token() -> None:
    services = compose()["services"]
    ports = {name: port for name, s in services.items() for port in s.get("ports", ())}
    assert ports == {"head": "127.0.0.1:8265:8265"} | {
        name: f"127.0.0.1:{port}:{port}" for name, port in (("prometheus", 9090), ("grafana", 3000))
    }
    assert services["worker"]["deploy"]["replicas"] == 2
    assert [name for name, s in services.items() if s.get("profiles") == ["metrics"]] == ["prometheus", "grafana"]
    for name in ("head", "worker", "generate"):
        service = services[name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")


def test_ray_takes_the_options_of_the_services() -> None:
    ray = Path(sys.executable).with_name("ray")
    known = subprocess.run([ray, "start", "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("head", "worker"):
        service = compose()["services"][name]
        assert service["entrypoint"][:2] == ["ray", "start"]
        for option in [*service["entrypoint"][2:], *service["command"]]:
            assert re.search(rf"(^|\s){re.escape(option.partition('=')[0])}\b", known), option


def command_lines() -> dict[str, list[str]]:
    """Every hardset command line in the files, without the word hardset."""
    nightly = documents("cronjob.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    found = {
        "compose": list(compose()["services"]["generate"]["command"]),
        "cronjob": list(nightly[0]["args"]),
        "raycronjob": shlex.split(documents("raycronjob.yaml")["RayCronJob"]["spec"]["jobTemplate"]["entrypoint"])[1:],
        "rayjob": shlex.split(documents("rayjob.yaml")["RayJob"]["spec"]["entrypoint"])[1:],
        "submit": shlex.split(
            entrypoint(grace_seconds=30, log_format="json", max_rows=5, max_minutes=None, if_held="skip")
        )[2:],
    }
    commented = re.search(r"args: (\[submit.*\])", (DOCKER / "cronjob.yaml").read_text())
    found["cronjob, commented"] = yaml.safe_load(commented[1])
    for page in ("cluster.md", "nightly.md"):
        text = (ROOT / "docs" / page).read_text().replace("\\\n", " ")
        lines = re.findall(
            r"^(?:.*[ /])?hardset ((?:generate|submit|status|stop|logs|plan|verify|init) .*)$", text, re.MULTILINE
        )
        code = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
        kept = [line for line in lines if any(line in c for c in code)]
        found |= {f"{page}: {line}": shlex.split(re.split(r" [|&>]", line)[0], comments=True) for line in kept}
    return found


@pytest.mark.parametrize(("place", "arguments"), command_lines().items(), ids=command_lines())
def test_every_command_line_is_one_that_hardset_takes(place: str, arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    with group.make_context("hardset", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, list(arguments))
        # Parses, and runs nothing: raises a usage error for an option that is not there.
        command.make_context(name, rest)


@pytest.mark.parametrize("name", ["cronjob.yaml", "rayjob.yaml", "raycronjob.yaml"])
def test_the_jobs_in_the_files_are_jobs_that_a_cluster_can_see(name: str) -> None:
    text = documents(name)["ConfigMap"]["data"]["job.yaml"]
    refuse_relative_paths(parse_job(yaml.safe_load(text), name=name), name=name)
