"""How a submitted job ends: polled to a terminal state, and nothing but SUCCEEDED counts as success."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hardset.jobs.cluster.client import Client, RefusedError, UnreachableError
from hardset.jobs.cluster.logs import LogTail
from hardset.jobs.terminal.console import Exit
from hardset.schemas.errors import RunError

POLL_S = 2.0
LOST_AFTER_S = 300.0
"""How long the job API may be silent before contact counts as lost; a head node restarts in less."""
LONGEST_PAUSE_S = 30.0
"""Between two tries while the job API is silent."""
RESULT_WITHIN = 50
"""How many of the log's last lines are searched for the driver's JSON."""


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


def follow(
    client: Client,
    submission_id: str,
    *,
    show: Callable[[str], None],
    seen: int = 0,
    poll_s: float = POLL_S,
    lost_after_s: float = LOST_AFTER_S,
) -> Outcome:
    """Polls a job to its end, showing its log on the way. The log is decoration: only the status decides.

    `seen`: characters of the log that were shown before.

    Raises RunError where the job API stays silent for `lost_after_s`, or no longer knows the job.
    """
    with LogTail(client, submission_id, show, seen=seen) as tail:
        details = _terminal(client, submission_id, poll_s, lost_after_s)
    log = ""
    with suppress(RunError):
        log = client.log(submission_id)
    tail.show_rest(log)
    return outcome_of(details, log)


def outcome_of(details: Any, log: str) -> Outcome:
    """How a job ended, from its details in a terminal state and all that its driver printed."""
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
    """The result that the driver left, the last of the log's; lines of Ray's own and JSON logs may follow it."""
    for line in reversed(log.splitlines()[-RESULT_WITHIN:]):
        with suppress(ValueError):
            result = json.loads(line)
            if isinstance(result, dict) and "exit_code" in result and "event" not in result:
                return result
    return None
