"""`hardset submit`: the same job on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.console import AsJson, Exit, JobFile, Overrides, errors, give
from schemas.errors import JobError
from schemas.job import Job
from schemas.loading import load_job

ENTRYPOINT = "hardset generate job.yaml --address auto --json"
"""What the cluster runs, in a folder that holds the resolved job file. Asks for no resources, so stays on the head."""


def submit(
    job: JobFile,
    *,
    address: Annotated[str, typer.Option(help="Job API of the cluster, http://HOST:8265.", show_default=False)],
    wait: Annotated[bool, typer.Option(help="Follow the job to its end; else return once it is submitted.")] = True,
    overrides: Overrides = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Use a job API that asks for no token.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job on a Ray cluster: submit it, or join it where it already runs, and wait for its end.

    Reads the job file; writes nothing here. The cluster must have hardset and the model's factory installed, and all
    paths in the job must mean the same on every node. A token is taken from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
    ~/.ray/auth_token. Returns what `hardset generate` returned there (0, 1, 2 or 3); 4 where the job was stopped;
    1 where the cluster cannot be reached or contact is lost.
    """
    # Ray takes a second to import; `hardset --help` need not wait for it.
    from jobs.ray_jobs import connect, follow, submit_once  # noqa: PLC0415

    loaded = load_job(job, overrides or ())
    refuse_relative_paths(loaded, name=str(job))
    client = connect(address, insecure=insecure)
    submission = submit_once(client, loaded, ENTRYPOINT)
    record: dict[str, Any] = {"submission_id": submission.id, "joined": submission.joined, "status": "SUBMITTED"}
    errors.print(f"{'Joined' if submission.joined else 'Submitted'} {submission.id}", markup=False)
    exit_code = int(Exit.DONE)
    if wait:
        outcome = follow(client, submission.id, show=lambda text: typer.echo(text, nl=False, err=as_json))
        errors.print(f"{submission.id}: {outcome.sentence}", markup=False)
        record |= {"status": outcome.status, "exit_code": outcome.exit_code, "result": outcome.result}
        exit_code = outcome.exit_code
    give(record, as_json=as_json)
    raise typer.Exit(exit_code)


def refuse_relative_paths(job: Job, *, name: str) -> None:
    """Raises JobError for a path that would mean a folder of the driver's scratch space on the cluster."""
    faults = [
        f"{name}: {path}: got {value!r}; on a cluster it wants a URL, or an absolute path that every node sees"
        for path, value in _places(job.model_dump(mode="json"))
        if "://" not in value and not Path(value).is_absolute()
    ]
    if faults:
        raise JobError("\n".join(faults))


def _places(node: Any, path: str = "") -> list[tuple[str, str]]:
    """Key path and value of every file or folder that a job names."""
    if isinstance(node, list):
        return [place for i, item in enumerate(node) for place in _places(item, f"{path}{i}.")]
    if not isinstance(node, dict):
        return []
    here = [(f"{path}{k}", v) for k, v in node.items() if k in ("path", "weights") and isinstance(v, str)]
    inner = ((k, v) for k, v in node.items() if k != "arguments")  # what a factory takes is its own affair
    return here + [place for k, v in inner for place in _places(v, f"{path}{k}.")]
