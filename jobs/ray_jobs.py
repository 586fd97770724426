"""Ray Jobs as hardset uses them: a job submitted twice runs once, and nothing but SUCCEEDED counts as success."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.console import Exit
from jobs.ray_client import Client, RefusedError, UnreachableError
from jobs.ray_logs import LogTail
from schemas.digests import digest
from schemas.errors import RunError
from schemas.job import Job

POLL_S = 2.0
LOST_AFTER_S = 300.0
"""How long the job API may be silent before contact counts as lost; a head node restarts in less."""
LONGEST_PAUSE_S = 30.0
"""Between two tries while the job API is silent."""
RESULT_WITHIN = 50
"""How many of the log's last lines are searched for the driver's JSON."""
_RACES = 10


@dataclass(frozen=True)
class Submission:
    """A job on the cluster."""

    id: str
    joined: bool
    """It was there already, and was joined."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    status: str
    """SUCCEEDED, FAILED or STOPPED."""
    exit_code: Exit
    sentence: str
    result: Any
    """The JSON object that the driver left as its last line, where there is one."""


def connect(address: str, *, insecure: bool = False) -> Client:
    """A client of the job API. Raises JobError for no address, RunError for one out of reach or open to all."""
    client = Client.at(address)
    if not insecure and not client.is_loopback and client.answers_without_token():
        raise RunError(
            f"{client.address}: its job API answers anyone, so anyone can run code there; start Ray with "
            "RAY_AUTH_MODE=token and a token in RAY_AUTH_TOKEN, or insist with --insecure"
        )
    client.check()
    return client


def submit_once(client: Client, job: Job, entrypoint: str) -> Submission:
    """Submits the job, or joins it where it is pending or running.

    The id is made of the job's name, the digest of the resolved job and the number of the attempt. A job that has
    ended, well or not, runs again under the next number: the source may have grown, and shards that are committed
    cost nothing. Raises RunError.
    """
    document = job.model_dump(mode="json")
    stem = f"hardset-{job.name}-{digest(document)[:12]}"
    for _ in range(_RACES):
        attempts = _attempts(client, stem)
        latest = max(attempts, default=0)
        if latest and attempts[latest] in ("PENDING", "RUNNING"):
            return Submission(f"{stem}-{latest}", joined=True)
        submission_id = f"{stem}-{latest + 1}"
        try:
            with tempfile.TemporaryDirectory(prefix="hardset-") as folder:
                Path(folder, "job.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
                client.submit(
                    submission_id, entrypoint, folder, {"hardset_job": job.name, "hardset_digest": stem[-12:]}
                )
        except RefusedError as refusal:
            # Another submitter took the number since the listing: look again, and join it.
            if "already exists" in refusal.text:
                continue
            raise
        return Submission(submission_id, joined=False)
    raise RunError(f"{stem}: {_RACES} other submitters took the next number first; submit again")


def _attempts(client: Client, stem: str) -> dict[int, str]:
    """Status of each attempt, by its number."""
    numbered = ((details.submission_id or "", details.status) for details in client.jobs())
    found = ((name.rpartition("-"), status) for name, status in numbered)
    return {int(number): str(status.value) for (head, _, number), status in found if head == stem and number.isdigit()}


def follow(
    client: Client,
    submission_id: str,
    *,
    show: Callable[[str], None],
    poll_s: float = POLL_S,
    lost_after_s: float = LOST_AFTER_S,
) -> Outcome:
    """Polls the job to its end, showing its log on the way. The log is decoration: only the status decides.

    Raises RunError where the job API stays silent for `lost_after_s`, or no longer knows the job.
    """
    with LogTail(client, submission_id, show) as tail:
        details = _terminal(client, submission_id, poll_s, lost_after_s)
    log = ""
    with suppress(RunError):
        log = client.log(submission_id)
    tail.show_rest(log)
    status = str(details.status.value)
    exit_code = {"SUCCEEDED": Exit.DONE, "STOPPED": Exit.STOPPED}.get(status, _own(details.driver_exit_code))
    # After this comma Ray quotes the log, which has been shown.
    message = (details.message or "").strip().partition("\n")[0].partition(", last available logs")[0][:300]
    sentence = f"{status}, exit code {int(exit_code)}" + (f": {message}" if status == "FAILED" and message else "")
    return Outcome(status, exit_code, sentence, _result(log))


def _terminal(client: Client, submission_id: str, poll_s: float, lost_after_s: float) -> Any:
    heard, pause = time.monotonic(), poll_s
    while True:
        try:
            details = client.job(submission_id)
            if details.status.is_terminal():
                return details
            heard, pause = time.monotonic(), poll_s
        except (UnreachableError, RefusedError) as error:
            _give_up_where_final(error, submission_id)
            silent = time.monotonic() - heard
            if silent >= lost_after_s:
                raise RunError(
                    f"{submission_id}: lost contact for {silent:.0f} s ({error}); the job may still run: submit again "
                    "to join it"
                ) from None
            pause = min(2 * pause, LONGEST_PAUSE_S, max(lost_after_s - silent, 0.1))
        time.sleep(pause)


def _give_up_where_final(error: UnreachableError | RefusedError, submission_id: str) -> None:
    """Raises for answers that asking again will not change; a head that restarts answers 5xx for a while."""
    if not isinstance(error, RefusedError) or error.status >= 500:
        return
    if error.status == 404:
        raise RunError(
            f"{submission_id}: the cluster no longer knows the job, its head was started anew; submit again"
        ) from None
    raise error


def _own(driver_exit_code: int | None) -> Exit:
    """hardset's own code where the driver ended with one. A driver that was killed, or lost with its node, failed."""
    return next((code for code in Exit if code == driver_exit_code and code is not Exit.DONE), Exit.FAILED)


def _result(log: str) -> Any:
    """The last JSON object in the log; Ray may write lines of its own after it."""
    for line in reversed(log.splitlines()[-RESULT_WITHIN:]):
        with suppress(ValueError):
            result = json.loads(line)
            if isinstance(result, dict):
                return result
    return None
