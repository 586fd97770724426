"""Credentials that a job file spells out: refused before the job is stored where others can read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError

_SECRET_KEYS = re.compile(
    r"[?&](x-amz-(signature|credential|security-token)|x-goog-(signature|credential)|awsaccesskeyid|sig|signature|"
    r"(access_?|auth_?|api_?)?(token|key)|password|passwd|secret)=",
    re.IGNORECASE,
)
_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "s3a": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_CONNECTION_STRING",
    "abfs": "AZURE_STORAGE_CONNECTION_STRING",
    "abfss": "AZURE_STORAGE_CONNECTION_STRING",
    "hf": "HF_TOKEN",
}
"""Environment variables that each scheme's client library reads."""


def refuse_credentials(document: Any, *, name: str) -> None:
    """Raises JobError where a URL of a job holds a password, a token or a signature.

    The job API of a cluster keeps the job file and its runtime environment readable for all who reach it.

    `document`: the job as JSON; `name`: what errors call it.
    """
    faults = [
        f"{name}: {key}: the URL {public_name(url)!r} holds credentials, which would lie open on the cluster; remove "
        f"them and set {_variables(url)} on its nodes"
        for key, url in _urls(document)
        if _holds_credentials(url)
    ]
    if faults:
        raise JobError("\n".join(faults))


def _urls(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _urls(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _urls(value, f"{key}.{position}")
    elif isinstance(node, str) and "://" in node:
        yield from ((key, link) for link in node.split("::") if "://" in link)


def _holds_credentials(url: str) -> bool:
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    is_password = ":" in user or urlsplit(url).scheme in ("http", "https")
    return bool(at and user and is_password) or _SECRET_KEYS.search(url) is not None


def _variables(url: str) -> str:
    return _ENVIRONMENT.get(urlsplit(url).scheme, "the environment variables or the credentials file of its client")
