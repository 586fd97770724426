"""Asking a store again: which faults pass by themselves, and requests that are tried until they do.

Throttling and faults of server or network pass. What is refused (no such bucket, no permission, bad credentials) or
decided (the file is there already) does not, and is raised at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from hardset.schemas.retries import Retries

RESULT = TypeVar("RESULT")

_DECIDED = (
    *(FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError),
    NotImplementedError,
)
_CODES = {
    *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted", "IncompleteBody"),
    *("Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded"),
    *("XAmzContentSHA256Mismatch", "ConditionalRequestConflict"),
    *("ServerBusy", "OperationTimedOut"),
}
"""Error codes of S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and Azure that pass."""
_DENIALS = {
    *("AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed", "InvalidAccessKeyId"),
    *("InvalidSecurity", "InvalidToken", "KeyTooLongError", "NotSignedUp", "SignatureDoesNotMatch"),
    *("AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo", "NoAuthenticationInformation"),
}
"""Error codes of S3 and Azure that stay. A token that has expired is none of them: the next start may have another."""
_DENIED_STATUSES = {401, 403, 414}
_DENIED_ERRNOS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
}
_DENIED_TYPES = {
    "azure.core.exceptions.ClientAuthenticationError",
    "botocore.exceptions.NoCredentialsError",
    "botocore.exceptions.PartialCredentialsError",
    "botocore.exceptions.ProfileNotFound",
    "google.auth.exceptions.DefaultCredentialsError",
    "ray.exceptions.AuthenticationError",
}
"""Errors of client libraries that stand for missing or wrong credentials."""
_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""HTTP answers that pass."""
_ERRNOS = {
    *(errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH),
    *(errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.EREMOTEIO, errno.ETIMEDOUT),
}
"""Error numbers of the network that pass, and those that s3fs makes of 500 (EREMOTEIO) and 503 (EBUSY)."""
_TYPES = {
    "aiohttp.client_exceptions.ClientConnectionError",
    "aiohttp.client_exceptions.ClientPayloadError",
    "azure.core.exceptions.IncompleteReadError",
    "azure.core.exceptions.ServiceRequestError",
    "azure.core.exceptions.ServiceResponseError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError",
    "botocore.exceptions.ReadTimeoutError",
    "botocore.parsers.ResponseParserError",
    "http.client.IncompleteRead",
    "http.client.RemoteDisconnected",
    "httpx.NetworkError",
    "httpx.RemoteProtocolError",
    "httpx.TimeoutException",
    "requests.exceptions.ChunkedEncodingError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
    "urllib3.exceptions.ProtocolError",
}
"""Errors of client libraries that stand for a broken or silent connection, named because none need be installed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreAnswer:
    """Answer of a store, wherever its client library keeps it; empty and 0 where nothing is known."""

    code: str = ""
    """Error code, such as SlowDown."""
    status: int = 0
    """HTTP status code."""

    @staticmethod
    def of(error: BaseException) -> StoreAnswer:
        """The answer behind an error or behind its cause."""
        for link in _links(error):
            response = getattr(link, "response", None)
            if isinstance(response, dict):  # botocore
                status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                return StoreAnswer(str(response.get("Error", {}).get("Code", "")), int(status or 0))
            for holder in (link, response):  # azure, aiohttp, gcsfs; requests and httpx
                for name in ("status_code", "status", "code"):
                    number = getattr(holder, name, None)
                    if isinstance(number, int | str) and str(number).isdecimal():
                        return StoreAnswer(str(getattr(link, "error_code", "") or ""), int(number))
        return StoreAnswer()


def passes(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    if isinstance(error, _DECIDED):
        return False
    answer = StoreAnswer.of(error)
    if answer.code or answer.status:
        return answer.code in _CODES or answer.status in _STATUSES
    return any(_breaks(link) for link in _links(error))


def denied(error: BaseException) -> bool:
    """Whether no further try mends it: access is denied, credentials are missing or wrong, a name is too long."""
    answer = StoreAnswer.of(error)
    if answer.code and not answer.code.isdecimal():
        return answer.code in _DENIALS or (answer.code != "ExpiredToken" and answer.status in _DENIED_STATUSES)
    if answer.status:
        return answer.status in _DENIED_STATUSES
    return any(_denies(link) for link in _links(error))


def _denies(error: BaseException) -> bool:
    denied_here = isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _DENIED_ERRNOS)
    return denied_here or bool(_names(error) & _DENIED_TYPES)


def patiently(
    act: Callable[[], RESULT], retries: Retries, *, what: str = "", sleep: Callable[[float], None] = time.sleep
) -> RESULT:
    """Result of `act`, tried again while its faults pass and `retries` allow. Raises the last fault.

    `what`: names the request in the log; no URL, which may hold credentials.
    """
    start = time.monotonic()
    for number in range(1, retries.tries + 1):
        try:
            return act()
        except Exception as error:
            wait = random.uniform(0, min(retries.longest_delay, retries.first_delay * 2 ** (number - 1)))
            late = time.monotonic() + wait - start > retries.seconds
            if number == retries.tries or late or not passes(error):
                raise
            kind = StoreAnswer.of(error).code or type(error).__name__
            _log.info("storage: %s: %s at try %d, again in %.2f s", what, kind, number, wait)
            sleep(wait)
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class PatientFiles:
    """An fsspec file system for reading whose requests are tried again; everything else is the file system's own."""

    fs: Any
    retries: Retries = field(default_factory=Retries.from_environment)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "fs":  # before the fields are there, as pickle and copy ask
            raise AttributeError(name)
        own = getattr(self.fs, name)
        return partial(self._call, name, own) if callable(own) else own

    def open(self, path: str, mode: str = "rb", **options: Any) -> PatientFile:
        """Opens a file whose reads are tried again too."""
        return PatientFile(self._call("open", self.fs.open, path, mode, **options), self.retries)

    def _call(self, what: str, act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return patiently(lambda: act(*arguments, **options), self.retries, what=what)


class PatientFile:
    """A file open for reading; a read that failed starts again where it did."""

    def __init__(self, file: Any, retries: Retries) -> None:
        self._file, self._retries = file, retries

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the position on; all that follow where it is negative."""
        place = self._file.tell()

        def act() -> bytes:
            if self._file.tell() != place:
                self._file.seek(place)
            data: bytes = self._file.read(size)
            return data

        return patiently(act, self._retries, what="read")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> PatientFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _breaks(error: BaseException) -> bool:
    if _names(error) & _TYPES or isinstance(error, ConnectionError | TimeoutError | asyncio.TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _ERRNOS


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, nearest first."""
    link: BaseException | None = error
    for _ in range(5):
        if link is None:
            return
        yield link
        link = link.__cause__
