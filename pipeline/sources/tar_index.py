"""Where the members of a tar file lie, so that rows are read without unpacking what comes before them.

An index is kept beside the digest cache, by the digest of the tar: a shard of a store is walked through once per host.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from hardset.pipeline.sources.digest_cache import believed, home, save_private

_VERSION = 1
_BASE = re.compile(r"((?:.*/)?[^/.][^/.]*)\.([^/]+)")
"""Key and extension of a member as webdataset parts them: at the first dot of the last part of the name."""


class Span(NamedTuple):
    """Place of a member's bytes in the tar."""

    start: int
    size: int


@dataclass(frozen=True)
class Sample:
    """Members that stand side by side and share a key."""

    key: str
    members: Mapping[str, Span]
    """Places by extension in lower case, such as `jpg`, `cls` and `json`."""


def samples_of(handle: Any) -> list[Sample]:
    """The samples of an open tar, in order. Raises tarfile.TarError where it is none, or breaks off inside a header.

    Hidden files, folders, links and devices are no members. A key that comes again later begins another sample.
    """
    found: list[Sample] = []
    with tarfile.open(fileobj=handle, mode="r:") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps every header that it has seen
            parted = _BASE.fullmatch(member.name.removeprefix("./"))
            if not member.isreg() or parted is None:
                continue
            key, extension = parted[1], parted[2].lower()
            if not found or found[-1].key != key or extension in found[-1].members:
                found.append(Sample(key, {}))
            members = dict(found[-1].members)
            members[extension] = Span(member.offset_data, member.size)
            found[-1] = Sample(key, members)
        handle.seek(archive.offset)
        if handle.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes what is no header for the end
            raise tarfile.ReadError(f"what follows byte {archive.offset} is no tar")
    return found


def remembered(digest: str) -> list[Sample] | None:
    """The index of a tar with this digest; None where this host has none, or one that others may have written."""
    folder = home()
    if folder is None:
        return None
    try:
        content = json.loads(believed(folder / "tars" / f"{digest}.json"))
        if content["version"] != _VERSION:
            return None
        return [
            Sample(key, {name: Span(*map(int, span)) for name, span in some.items()}) for key, some in content["of"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(digest: str, samples: list[Sample]) -> None:
    """Keeps an index for later processes on this host; a full disk or a read-only home costs them time alone."""
    folder = home()
    if folder is not None:
        text = json.dumps({"version": _VERSION, "of": [[one.key, one.members] for one in samples]})
        with suppress(OSError):
            save_private(folder / "tars" / f"{digest}.json", text)
