"""The job API of a Ray cluster: time limits on every request, the token where there is one, errors as sentences."""

from __future__ import annotations

import ipaddress
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from ray.exceptions import AuthenticationError as RayAuthenticationError
from ray.job_submission import JobSubmissionClient

from hardset.pipeline.dataset.provenance.facets import NAMESPACE, PARENT, ROOT
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import DeniedError, JobError, RunError

TIMEOUT_S = 30.0
"""Limit of one request. Ray's own client waits for ever where packets are dropped (Ray 2.60)."""
LINEAGE_VARIABLES = (PARENT, ROOT, NAMESPACE)
"""What of this process's environment goes with a submitted job; they name runs and hold no secret."""
STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
"""Read by the supervisor of a job, whose environment is the job's own; Ray's 3 s finish no shard (Ray 2.60)."""
STOP_MARGIN_S = 5
"""From the end of a driver's grace period to SIGKILL."""

_CHATTY = (
    "ray.dashboard.modules.job.sdk",
    "ray.dashboard.modules.dashboard_sdk",
    "ray._private.runtime_env.packaging",
)


class UnreachableError(RunError):
    """No answer, or one that says the server is not well."""


class AuthenticationError(DeniedError):
    """The job API wants a token, or another one."""


class RefusedError(RunError):
    """The job API said no."""

    def __init__(self, status: int, text: str, address: str) -> None:
        super().__init__(f"{address}: refused the request (HTTP {status}): {' '.join(text.split())[-300:]}")
        self.status = status
        self.text = text
        if status in (401, 403):
            self.exit_code = DeniedError.exit_code


class _TimedClient(JobSubmissionClient):  # type: ignore[misc]  # Ray is not typed
    """Ray's client with a time limit, and with the status of a refusal kept."""

    def _do_request(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", TIMEOUT_S)
        return super()._do_request(*args, **kwargs)

    def _raise_error(self, r: Any) -> None:
        # Gateways answer so for a head that is away; Ray's own 500 is for faults and for ids in use alike.
        if r.status_code in (502, 503, 504):
            raise UnreachableError(f"{public_name(self._address)}: its gateway answers HTTP {r.status_code}")
        raise RefusedError(r.status_code, r.text, public_name(self._address))


class Client:
    """The calls that hardset makes. Every one raises RunError, in one sentence, and nothing else."""

    def __init__(self, address: str, ray: Any) -> None:
        self.address = address
        self.ray = ray

    @staticmethod
    def at(address: str) -> Client:
        """A client for `http://HOST:PORT`. Makes no request. Raises JobError for anything else."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JobError(f"--address {public_name(address)}: wants the job API, such as http://HOST:8265")
        return Client(address.rstrip("/"), None)

    @property
    def is_loopback(self) -> bool:
        """Whether the address can only be this machine."""
        host = urlsplit(self.address).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def answers_without_token(self) -> bool:
        """Whether the job API lets strangers in. A redirect, as single sign-on sends, counts as a closed door."""
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(f"{self.address}/api/version", timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False
        except OSError as error:
            raise self._away(getattr(error, "reason", error)) from None

    def check(self) -> None:
        """Connects. Raises UnreachableError or AuthenticationError."""
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        token = _token()
        headers = {"Authorization": f"Bearer {token}"} if token else None
        with self._sentences(), _no_address_in_environment():
            self.ray = _TimedClient(self.address, headers=headers)

    def ray_version(self) -> str | None:
        """Version of the cluster's Ray; None where it does not tell."""
        with self._sentences():
            answer = self.ray._do_request("GET", "/api/version")
            return str(answer.json().get("ray_version") or "") or None if answer.status_code == 200 else None

    def jobs(self) -> list[Any]:
        """Details of every job that the cluster knows."""
        with self._sentences():
            return list(self.ray.list_jobs())

    def job(self, submission_id: str) -> Any:
        """Details of one job: status, driver_exit_code, message."""
        with self._sentences():
            return self.ray.get_job_info(submission_id)

    def log(self, submission_id: str) -> str:
        """All that the driver has printed."""
        with self._sentences():
            return str(self.ray.get_job_logs(submission_id))

    def submit(
        self,
        submission_id: str,
        entrypoint: str,
        folder: str,
        metadata: dict[str, str],
        *,
        code: Sequence[str] = (),
        grace_seconds: float,
    ) -> None:
        """Submits a job that runs in a copy of `folder`, as a step of the OpenLineage run that this process is in.

        `code`: packages that go on its import path; `grace_seconds`: what it takes to end after SIGTERM.
        """
        lineage = {name: os.environ[name] for name in LINEAGE_VARIABLES if name in os.environ}
        environment = {
            "working_dir": folder,
            "env_vars": lineage | {STOP_WAIT: str(ceil(grace_seconds) + STOP_MARGIN_S)},
        }
        with self._sentences():
            self.ray.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env=environment | ({"py_modules": list(code)} if code else {}),
                metadata=metadata,
            )

    def stop(self, submission_id: str) -> bool:
        """Asks the job to stop: SIGTERM, and later SIGKILL. Returns whether it was still running."""
        with self._sentences():
            return bool(self.ray.stop_job(submission_id))

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except RunError:
            raise
        except RayAuthenticationError:
            raise AuthenticationError(
                f"{public_name(self.address)}: the job API wants its token; put it in RAY_AUTH_TOKEN, or its file in "
                "RAY_AUTH_TOKEN_PATH"
            ) from None
        except (requests.RequestException, OSError) as error:
            raise self._away(error) from None
        except (RuntimeError, ValueError, KeyError) as error:
            raise RefusedError(0, str(error), public_name(self.address)) from None

    def _away(self, error: object) -> UnreachableError:
        reason = "no answer in time" if isinstance(error, TimeoutError | requests.Timeout) else "cannot be reached"
        mend = "is the Ray head up, and is this its dashboard port?"
        return UnreachableError(f"{public_name(self.address)}: {reason}; {mend}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _token() -> str | None:
    """Ray's own order of places. Ray's client looks there too, but only where RAY_AUTH_MODE=token is set as well."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not named and Path("~").expanduser() == Path("~"):  # a user without a home
        return None
    path = Path(named or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        if "RAY_AUTH_TOKEN_PATH" in os.environ:
            raise DeniedError(f"RAY_AUTH_TOKEN_PATH: {path} is not there") from None
        return None
    except OSError as error:
        raise DeniedError(f"{path}: the token cannot be read: {error.strerror}") from None


@contextmanager
def _no_address_in_environment() -> Iterator[None]:
    """Ray lets these variables override the address that the user gave, and that was just checked."""
    names = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
