"""Digests that fix a file's bytes: the store's own checksum or entity tag, else SHA-256 of the content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from hardset.schemas.digests import digest
from hardset.schemas.errors import RunError

# Of Google, HTTP, Hugging Face, S3, Azure. Checksums come first: an entity tag may change with the metadata alone.
_TAGS = ("md5Hash", "Content-MD5", "content_md5", "blob_id", "ETag", "etag")
_CHUNK = 4 << 20


def tag_digest(info: Mapping[str, Any]) -> str | None:
    """Digest of the checksum or entity tag in a store's `info` of a file; None where it has none, as local files."""
    for name in _TAGS:
        if info.get(name):
            return digest([name.lower(), str(info[name]).strip('"'), info.get("size")])
    return None


def fingerprint(fs: Any, path: str) -> str:
    """Digest of one file, 64 hex digits. The same bytes at another local path give the same digest."""
    return tag_digest(fs.info(path)) or content_digest(fs, path)


def content_digest(fs: Any, path: str) -> str:
    """SHA-256 of a file's bytes, read in pieces of 4 MiB."""
    hasher = hashlib.sha256()
    with fs.open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def check_unchanged(fs: Any, path: str, planned: str, name: str) -> None:
    """Raises RunError where the store's tag says that the file is no longer the one that was planned.

    Costs no read: local files, which have no tag, are not hashed again.
    """
    found = tag_digest(fs.info(path))
    if found is not None and found != planned:
        raise RunError(f"{name} has changed since the run was planned; start the job again")
