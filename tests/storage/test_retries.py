"""Stores that are busy or out of reach are asked again, within bounds; refusals are believed at once."""

from __future__ import annotations

import errno
import io
import logging
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs.errors import translate_boto_error

from hardset.pipeline.sources.files import resolve
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.storage.objects import ObjectStore
from hardset.pipeline.storage.retrying import PatientFiles, denied, passes, patiently
from hardset.schemas.errors import DeniedError, JobError, RunError
from hardset.schemas.retries import Retries

SOON = Retries(tries=4, first_delay=0.001, longest_delay=0.002)
ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}  # botocore's own retries aside


def _s3(code: str, status: int) -> Exception:
    answer = {"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found: Exception = translate_boto_error(botocore.exceptions.ClientError(answer, "PutObject"))
    return found


class _HttpError(Exception):
    """As those of gcsfs (`code`), azure (`status_code`) and aiohttp (`status`)."""

    def __init__(self, **says: Any) -> None:
        super().__init__("told")
        self.__dict__ |= says


class _Response:
    status_code = 429


PASSING = [
    _s3("SlowDown", 503),
    _s3("ServiceUnavailable", 503),
    _s3("InternalError", 500),
    _s3("RequestTimeout", 400),
    _s3("ConditionalRequestConflict", 409),
    _s3("502", 502),
    _HttpError(code=429),
    _HttpError(code=503),
    _HttpError(status_code=503, error_code="ServerBusy"),
    _HttpError(status=504),
    _HttpError(response=_Response()),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    TimeoutError(),
    OSError(errno.EBUSY, "busy"),
    botocore.exceptions.ConnectionClosedError(endpoint_url="x"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="x"),
    botocore.exceptions.EndpointConnectionError(endpoint_url="x"),
]
DENIED = [
    _s3("AccessDenied", 403),
    _s3("InvalidAccessKeyId", 403),
    _s3("SignatureDoesNotMatch", 403),
    _HttpError(code=403),
    _HttpError(status=401),
    _HttpError(status_code=403, error_code="AuthenticationFailed"),
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.PartialCredentialsError(provider="x", cred_var="y"),
    PermissionError("x"),
    OSError(errno.EROFS, "read-only"),
    OSError(errno.ENAMETOOLONG, "too long"),
    NotADirectoryError(errno.ENOTDIR, "a file"),
]
DECIDED = [
    *DENIED,
    _s3("NoSuchBucket", 404),
    _s3("NoSuchKey", 404),
    _s3("PreconditionFailed", 412),
    _s3("InvalidBucketName", 400),
    _HttpError(code=404),
    _HttpError(status_code=409, error_code="BlobAlreadyExists"),
    FileNotFoundError("x"),
    NotImplementedError(),
    OSError(errno.ENOSPC, "full"),
    ValueError("x"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_faults_that_pass(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize("error", DECIDED, ids=repr)
def test_refusals_that_stay(error: Exception) -> None:
    assert not passes(error)


MENDED = [*PASSING, _s3("NoSuchKey", 404), _s3("ExpiredToken", 400), OSError(errno.ENOSPC, "full"), ValueError("x")]


@pytest.mark.parametrize("error", DENIED, ids=repr)
def test_what_no_further_try_mends_ends_with_2(error: Exception, tmp_path: Path, monkeypatch: Any) -> None:
    """From whichever request it comes."""
    assert denied(error)
    folder = Folder(str(tmp_path))

    def deny(*_: Any) -> Any:
        raise error

    for act in ("read", "write", "create", "exists", "walk", "sizes", "folders", "delete"):
        monkeypatch.setattr(folder._store, act, deny)
    for call in (
        lambda: folder.read("a"),
        lambda: folder.write("a", b""),
        lambda: folder.create("a", b""),
        lambda: folder.exists("a"),
        folder.list,
        folder.sizes,
        folder.folders,
        lambda: folder.delete("a"),
    ):
        with pytest.raises(DeniedError) as refusal:
            call()
        assert refusal.value.exit_code == 2


@pytest.mark.parametrize("error", MENDED, ids=repr)
def test_what_a_further_try_may_mend_does_not(error: Exception) -> None:
    assert not denied(error)


def _failing(times: int, error: Exception) -> Callable[[], str]:
    left = [times]

    def act() -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return "done"

    return act


def test_tries_and_time_are_bounded_and_waits_grow() -> None:
    waits: list[float] = []
    retries = Retries(tries=6, first_delay=1.0, longest_delay=4.0, seconds=1e9)
    assert patiently(_failing(5, _s3("SlowDown", 503)), retries, sleep=waits.append) == "done"
    assert all(0 <= wait <= bound for wait, bound in zip(waits, (1, 2, 4, 4, 4), strict=True))
    waits.clear()
    with pytest.raises(OSError, match="told"):
        patiently(_failing(6, _s3("SlowDown", 503)), retries, sleep=waits.append)
    assert len(waits) == 5
    with pytest.raises(TimeoutError):
        patiently(_failing(2, TimeoutError()), Retries(tries=99, seconds=0, first_delay=1.0), sleep=waits.append)
    assert len(waits) == 5


def test_a_refusal_costs_one_try() -> None:
    waits: list[float] = []
    with pytest.raises(PermissionError):
        patiently(_failing(1, _s3("AccessDenied", 403)), SOON, sleep=waits.append)
    assert waits == []


def test_waits_differ_from_actor_to_actor() -> None:
    waits: list[float] = []
    for _ in range(20):
        patiently(_failing(1, TimeoutError()), Retries(first_delay=1.0), sleep=waits.append)
    assert len(set(waits)) == 20


def test_the_environment_sets_the_bounds() -> None:
    given = {"HARDSET_STORAGE_TRIES": "3", "HARDSET_STORAGE_SECONDS": "7.5"}
    assert Retries.from_environment(given) == Retries(tries=3, seconds=7.5)
    assert Retries.from_environment({"HARDSET_STORAGE_TRIES": ""}) == Retries()
    with pytest.raises(JobError, match=r"HARDSET_STORAGE_TRIES: got '0': .*greater than or equal to 1"):
        Retries.from_environment({"HARDSET_STORAGE_TRIES": "0"})


def _answer(code: str, status: str) -> Callable[[Any, Any, Any], Any]:
    def fault(app: Any, environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>told</Message></Error>".encode()]

    return fault


def _lost_answer(app: Any, environ: Any, start_response: Any) -> Any:
    """The request arrives and is done; what comes back is an error of the server."""
    list(app(environ, lambda *_: None))
    start_response("500 Internal Server Error", [("Content-Type", "application/xml")])
    return [b"<Error><Code>InternalError</Code><Message>told</Message></Error>"]


def _cut(app: Any, environ: Any, start_response: Any) -> Any:
    """The request arrives and is done; the connection breaks before the answer."""
    list(app(environ, lambda *_: None))
    environ["werkzeug.socket"].shutdown(2)
    start_response("200 OK", [])
    return []


SLOW, BROKEN = _answer("SlowDown", "503 Slow Down"), _answer("InternalError", "500 Internal Server Error")


@pytest.fixture
def s3(s3_bucket: str) -> Folder:
    return Folder(f"{s3_bucket}/{uuid.uuid4().hex}", retries=SOON, **ONCE)


@pytest.mark.parametrize("fault", [SLOW, BROKEN, _lost_answer, _cut], ids=["slow", "error", "lost", "cut"])
@pytest.mark.parametrize("act", ["read", "part", "write", "create", "list", "folders", "exists", "delete"])
def test_every_request_outlasts_two_faults(act: str, fault: Any, s3: Folder, s3_faults: list[Any]) -> None:
    s3.write("a/b", b"bytes")
    acts: dict[str, Callable[[], Any]] = {
        "read": lambda: s3.read("a/b") == b"bytes",
        "part": lambda: s3.read_part("a/b", 1, 3) == b"yt",
        "write": lambda: s3.write("a/b", b"more") is None,
        "create": lambda: s3.create("a/c", b"token") is True,
        "list": lambda: s3.list("a/") == ["a/b"],
        "folders": lambda: s3.folders() == ["a"],
        "exists": lambda: s3.exists("a/b"),
        "delete": lambda: s3.delete("a/b") is None,
    }
    s3_faults += [fault, fault]
    assert acts[act]()
    assert s3_faults == []
    if act == "create":
        assert not s3.create("a/c", b"another")
        assert s3.read("a/c") == b"token"


def test_a_store_that_stays_broken_is_one_sentence(s3: Folder, s3_faults: list[Any]) -> None:
    s3_faults += [BROKEN] * 9
    with pytest.raises(RunError, match=r"^s3://[^:]*: cannot write a/b: InternalError: told$"):
        s3.write("a/b", b"x")
    assert len(s3_faults) == 9 - SOON.tries


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("AccessDenied", "403 Forbidden", "check the permissions"),
        ("InvalidAccessKeyId", "403 Forbidden", "check the permissions"),
        ("NoSuchBucket", "404 Not Found", "cannot write"),
    ],
)
def test_refusals_of_the_api_are_believed_at_once(
    code: str, status: str, told: str, s3: Folder, s3_faults: list[Any]
) -> None:
    refusal = _answer(code, status)
    s3_faults += [refusal] * 5
    with pytest.raises(RunError, match=told) as found:
        s3.write("a/b", b"x")
    assert "\n" not in str(found.value)
    assert len(s3_faults) == 4


def test_of_two_creates_whose_answers_get_lost_one_wins(s3: Folder, s3_faults: list[Any]) -> None:
    s3_faults += [_lost_answer]
    assert s3.create("receipt", b"mine")
    s3_faults += [BROKEN]
    assert not s3.create("receipt", b"yours")
    assert s3.read("receipt") == b"mine"


class LooseFileSystem(MemoryFileSystem):
    """A store of our own that takes `mode` and ignores it, as fsspec drivers without conditional writes may."""

    protocol = "loose"
    store: dict[str, Any] = {}  # noqa: RUF012

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        super().pipe_file(path, value)


class LacksConditions(LooseFileSystem):
    """A store of our own that says that it has no conditional write."""

    protocol = "lacking"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create":
            raise NotImplementedError
        super().pipe_file(path, value)


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (LooseFileSystem, "ignores conditional writes"),
        (LacksConditions, "has no conditional write, which commits need"),
    ],
)
def test_a_store_without_conditional_writes_is_refused(
    system: type[LooseFileSystem], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardset.pipeline.storage.folder._store", ObjectStore)
    fsspec.register_implementation(system.protocol, system, clobber=True)
    folder = Folder(f"{system.protocol}://bucket/out")
    with pytest.raises(JobError, match=told):
        folder.check_writable()
    assert folder.list() == []


class MoodyFileSystem(MemoryFileSystem):
    """A memory file system of our own whose requests, and reads of open files, fail as often as `faults` says."""

    protocol = "moody"
    store: dict[str, Any] = {}  # noqa: RUF012
    faults: list[Exception] = []  # noqa: RUF012

    def info(self, path: str, **options: Any) -> Any:
        self._fault()
        return super().info(path, **options)

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            return super().open(path, mode, **options)
        self._fault()
        data = super().cat_file(path)
        outer = self

        class Moody(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                outer._fault()
                return found

        return Moody(data)

    def _fault(self) -> None:
        if self.faults:
            raise self.faults.pop()


def test_sources_are_read_in_spite_of_faults() -> None:
    target = io.BytesIO()
    np.savez(target, images=np.zeros((3, 4, 4, 1), np.uint8))
    MoodyFileSystem().pipe_file("/source/x.npz", target.getvalue())
    files = PatientFiles(MoodyFileSystem(), SOON)
    for fault in (TimeoutError(), ConnectionResetError()):
        MoodyFileSystem.faults += [fault, fault]
        with files.open("/source/x.npz", "rb") as file, np.load(file) as archive:
            assert archive["images"].shape == (3, 4, 4, 1)
        assert MoodyFileSystem.faults == []
    MoodyFileSystem.faults += [PermissionError("no")]
    with pytest.raises(PermissionError):
        files.info("/source/x.npz")


def test_reads_that_fail_in_the_middle_lose_and_repeat_nothing() -> None:
    data = bytes(range(200))
    MoodyFileSystem().pipe_file("/file", data)
    file, pieces = PatientFiles(MoodyFileSystem(), SOON).open("/file"), []
    while piece := file.read(7):
        pieces.append(piece)
        MoodyFileSystem.faults += [TimeoutError()] * 2
    assert b"".join(pieces) == data
    MoodyFileSystem.faults.clear()


def test_sources_on_stores_are_patient_and_those_on_a_disk_need_not_be(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/patient/x", b"x")
    assert isinstance(resolve("memory://patient").fs, PatientFiles)
    assert not isinstance(resolve(str(tmp_path)).fs, PatientFiles)


def test_patient_files_pickle() -> None:
    files = PatientFiles(fsspec.filesystem("memory"), SOON)
    assert pickle.loads(pickle.dumps(files)).retries == SOON


def test_no_secret_reaches_the_log_of_a_retry(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr("hardset.pipeline.storage.folder._store", ObjectStore)
    fsspec.register_implementation("moody", MoodyFileSystem, clobber=True)
    folder = Folder("moody://user:pa55word@host/x?token=hidden", retries=SOON)
    folder.write("a", b"x")
    MoodyFileSystem.faults += [ConnectionResetError(f"no answer from {folder.url}"), _s3("SlowDown", 503)]
    with caplog.at_level(logging.DEBUG, "hardset.pipeline.storage.retrying"):
        assert folder.exists("a")
    assert "SlowDown at try 1" in caplog.text
    assert "ConnectionResetError at try 2" in caplog.text
    assert not any(secret in caplog.text for secret in ("pa55word", "hidden", "user"))
