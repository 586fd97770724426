"""Submissions and their ids: a job submitted twice runs once, and can be found again by its file.

The id is made of the job and not of the run id. A run id needs a plan, so the submitter would have to list the source
and read the weights, for which often only the cluster has the paths and credentials; and two submitters between whom a
file arrived would come to different runs, and start both. The run id is in the job's result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hardset.jobs.cluster.client import Client, RefusedError
from hardset.jobs.cluster.commands import START, start_script
from hardset.jobs.cluster.shipping import Parcel
from hardset.jobs.terminal.stopping import GRACE_SECONDS
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job

ACTIVE = ("PENDING", "RUNNING")
_RACES = 10


@dataclass(frozen=True)
class Submission:
    """A job on the cluster."""

    id: str
    joined: bool
    """It was there already, and was joined."""


def stem_of(job: Job) -> str:
    """What the ids of all attempts at a job begin with: its name and logical date, and a digest of the resolved job."""
    night = f"{job.logical_date}-" if job.logical_date else ""
    return f"hardset-{job.name}-{night}{digest(job.model_dump(mode='json'))[:12]}"


def submit_once(
    client: Client, job: Job, entrypoint: str, parcel: Parcel | None = None, *, grace_seconds: float = GRACE_SECONDS
) -> Submission:
    """Submits the job, or joins it where it is pending or running.

    `grace_seconds`: what its driver takes to stop.

    A job that has ended, well or not, runs again under the next number: the source may have grown, and shards that are
    committed cost nothing. Raises RunError.
    """
    parcel, stem = parcel or Parcel(ship=False), stem_of(job)
    for _ in range(_RACES):
        attempts = attempts_at(client, stem)
        latest = max(attempts, default=0)
        if latest and attempts[latest] in ACTIVE:
            return Submission(f"{stem}-{latest}", joined=True)
        submission_id = f"{stem}-{latest + 1}"
        try:
            _send(client, submission_id, job, entrypoint, parcel, grace_seconds)
        except RefusedError as refusal:
            # Another submitter took the number since the listing: look again, and join it.
            if "already exists" in refusal.text:
                continue
            raise
        return Submission(submission_id, joined=False)
    raise RunError(f"{stem}: {_RACES} other submitters took the next number first; submit again")


def contents(job: Job, parcel: Parcel) -> dict[str, int]:
    """Paths and bytes of all files that would go to the cluster, by their place in the working folder or the code."""
    with packed(job, parcel) as (working, packages):
        files = sorted(file for folder in (working, *map(Path, packages)) for file in folder.rglob("*"))
        box = working.parent
        return {file.relative_to(box).as_posix(): file.stat().st_size for file in files if file.is_file()}


@contextmanager
def packed(job: Job, parcel: Parcel) -> Iterator[tuple[Path, list[str]]]:
    """The working folder of the job, and the code packages, while the block runs."""
    with tempfile.TemporaryDirectory(prefix="hardset-") as folder:
        working, code = Path(folder, "working"), Path(folder, "code")
        working.mkdir()
        code.mkdir()
        document = job.model_dump(mode="json")
        (working / START).write_text(start_script(), encoding="utf-8")
        (working / "job.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        yield working, parcel.pack(working, code)


def _send(client: Client, submission_id: str, job: Job, entrypoint: str, parcel: Parcel, grace_seconds: float) -> None:
    with packed(job, parcel) as (working, packages):
        metadata = {"hardset_job": job.name, "hardset_digest": submission_id.split("-")[-2]}
        client.submit(submission_id, entrypoint, str(working), metadata, code=packages, grace_seconds=grace_seconds)


def attempts_at(client: Client, stem: str) -> dict[int, str]:
    """Status of each attempt, by its number."""
    numbered = ((details.submission_id or "", details.status) for details in client.jobs())
    found = ((name.rpartition("-"), status) for name, status in numbered)
    return {int(number): str(status.value) for (head, _, number), status in found if head == stem and number.isdigit()}


def latest_attempt(client: Client, job: Job) -> str:
    """Id of the newest attempt at a job. Raises JobError where the cluster knows none."""
    stem = stem_of(job)
    attempts = attempts_at(client, stem)
    if not attempts:
        raise JobError(
            f"{stem}: {client.address} knows no attempt at this job; give what `hardset submit` was given, --set and "
            "--logical-date too, or a submission id of `hardset status --address`"
        )
    return f"{stem}-{max(attempts)}"


def id_of(client: Client, target: str, overrides: Sequence[str] = ()) -> str:
    """The submission that a user means by a job file, or by its id. Raises JobError where the cluster knows none."""
    if Path(target).is_file() or target.endswith((".yaml", ".yml")):
        return latest_attempt(client, load_job(target, overrides))
    if target not in {details.submission_id for details in client.jobs()}:
        raise JobError(
            f"{target}: {client.address} knows no such job, and it is no job file; `hardset status --address "
            f"{client.address}` lists what was submitted"
        )
    return target


def submissions(client: Client) -> list[Any]:
    """Details of every job that hardset submitted, newest last."""
    own = [details for details in client.jobs() if (details.submission_id or "").startswith("hardset-")]
    return sorted(own, key=lambda details: details.start_time or 0)
