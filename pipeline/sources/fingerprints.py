"""Digests that fix a file's bytes: the store's own checksum or entity tag, else SHA-256 of the content."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from hardset.schemas.digests import digest

# Of Google, HTTP, Hugging Face, S3, Azure. Checksums come first: an entity tag may change with the metadata alone.
_TAGS = ("md5Hash", "Content-MD5", "content_md5", "blob_id", "ETag", "etag")
_TIMES = ("mtime", "modified", "LastModified", "last_modified", "Last-Modified", "updated", "created")
_CHUNK = 4 << 20
RACY_SECONDS = 2.0
"""Ticks of file systems are no longer: FAT's is 2 s, that of others a few milliseconds."""
Identity = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Stamp:
    """State of a file that changes whenever its bytes do, found without reading them."""

    tag: str | None
    """Digest of the store's checksum or entity tag; None where it has none, as local files."""
    identity: tuple[Any, ...]
    """Device, inode, size, mtime and ctime of a local file; size and times of another."""
    racy: bool
    """Whether the file was touched so lately that another edit need not show (git calls such files racy)."""


def stamp(fs: Any, path: str) -> Stamp:
    """State of a file now. Raises FileNotFoundError, PermissionError, and what else the store raises."""
    now = time.time()
    if is_local(fs):
        found = identity_of(path)
        return Stamp(None, found, is_racy(found, now))
    info = fs.info(path)
    times = [when for name in _TIMES if (when := _seconds(info.get(name))) is not None]
    identity = (info.get("size"), *(str(info.get(name)) for name in _TIMES))
    return Stamp(tag_digest(info), identity, not times or max(times) > now - RACY_SECONDS)


def is_local(fs: Any) -> bool:
    """Whether a file system is local to this machine."""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def identity_of(path: str) -> Identity:
    """Device, inode, size, and mtime and ctime in nanoseconds of a local file."""
    found = os.stat(path)  # noqa: PTH116 - a million of them per plan; a Path costs as much again
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_racy(identity: Identity, read_at: float) -> bool:
    """Whether a file with this identity may have changed by `read_at` (seconds since 1970) without showing it."""
    return max(identity[3], identity[4]) / 1e9 > read_at - RACY_SECONDS


def tag_digest(info: Mapping[str, Any]) -> str | None:
    """Digest of the checksum or entity tag in a store's `info` of a file; None where it has none, as local files."""
    for name in _TAGS:
        if info.get(name):
            return digest([name.lower(), str(info[name]).strip('"'), info.get("size")])
    return None


def digests_of(data: bytes) -> Iterator[str]:
    """Digests that a file with this content may have been planned with: of the content, or of a tag that is its MD5.

    Entity tags of S3 are MD5 for objects of one part without keys of one's own; Google and Azure tell MD5 in Base64.
    """
    yield hashlib.sha256(data).hexdigest()
    md5 = hashlib.md5(data, usedforsecurity=False)
    base64_md5 = base64.b64encode(md5.digest()).decode()
    for name, value in (("ETag", md5.hexdigest()), ("md5Hash", base64_md5), ("content_md5", base64_md5)):
        found = tag_digest({name: value, "size": len(data)})
        assert found is not None
        yield found


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


def _seconds(when: Any) -> float | None:
    """Seconds since 1970 of a time as stores tell it: a number, a datetime, or text of HTTP or ISO 8601."""
    if isinstance(when, int | float):
        return float(when)
    if isinstance(when, datetime):
        return when.timestamp()
    if not isinstance(when, str):
        return None
    try:
        return (parsedate_to_datetime if "," in when else datetime.fromisoformat)(when).timestamp()
    except ValueError:
        return None
