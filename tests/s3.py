"""Places to store in: a disk, memory, and a real S3 API."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.storage.folder import Folder


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """URL of a bucket on a local S3 API; the environment names its endpoint, so child processes find it too."""
    from moto.server import ThreadedMotoServer

    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _one_request_at_a_time(server._server)
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ.update(settings, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    import s3fs

    s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket-of-tests")
    yield "s3://bucket-of-tests"
    server.stop()
    os.environ.clear()
    os.environ.update(before)


Fault = Callable[[Any, dict[str, Any], Any], Any]
"""What answers a request in the API's place: it gets the API, the request and how the answer starts (WSGI)."""
_FAULTS: list[Fault] = []


@pytest.fixture
def s3_faults(s3_bucket: str) -> Iterator[list[Fault]]:
    """Faults of the next requests to the S3 API, in turn."""
    _FAULTS.clear()
    yield _FAULTS
    _FAULTS.clear()


def _one_request_at_a_time(server: Any) -> None:
    """moto looks for the object and then stores it; S3 does both in one act."""
    app, lock = server.app, threading.Lock()

    def serial(environ: Any, start_response: Any) -> Any:
        with lock:
            if _FAULTS:
                return _FAULTS.pop(0)(app, environ, start_response)
            return list(app(environ, start_response))

    server.app = serial


@pytest.fixture(params=["local", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty folder of each kind."""
    if request.param == "local":
        return str(tmp_path / "out")
    root = "memory:/" if request.param == "memory" else request.getfixturevalue("s3_bucket")
    return f"{root}/{uuid.uuid4().hex}"


@pytest.fixture
def folder(url: str) -> Folder:
    """An empty folder of each kind."""
    return Folder(url)


@pytest.fixture
def disk(tmp_path: Path) -> Folder:
    """An empty folder on the disk."""
    return Folder(str(tmp_path / "out"))
