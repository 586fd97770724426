"""Files that cannot be read: why, in words that tell what lies there instead, and what that costs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from hardset.pipeline.batches import RowError
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import SourceRange

UNREADABLE = sha256_hex("unreadable")
"""Stands for the digest of a file whose bytes cannot be had; once they can, the file counts as changed."""
OUT_OF_REACH = (FileNotFoundError, PermissionError, IsADirectoryError)
"""Faults of one file, such as a link that leads nowhere; a store that does not answer is none of them."""
_SHOWN = 5
_SIGNS = (
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file; `git lfs pull` fetches it"),
    (rb"(?:\.\./)*(?:\.git)?/annex/objects/", "is a git-annex pointer, not the file; `git annex get` fetches it"),
    (rb"PARE", "is encrypted; hardset has no key to it"),
    (rb"\s*<(?:!doctype html|html)", "is a web page, such as a login or an error that was saved in its place"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "is compressed; unpack it"),
)
"""What files are that should be something else, by patterns of their first bytes."""


class UnreadableFileError(JobError):
    """A file of a source is none of its format. Where others can be read it costs its own rows, if the job says so."""


class FileError(RowError):
    """The file that should hold rows cannot be read."""


def what_lies_there(data: bytes) -> str | None:
    """What a file is that begins like `data` and should be something else; None where nothing tells."""
    if not data:
        return "is empty"
    return next((told for begin, told in _SIGNS if re.match(begin, data, re.IGNORECASE)), None)


def digest_or_unreadable(find: Callable[[Any, str], str], fs: Any, path: str) -> str:
    """The digest of a file as `find` makes it of a file system and a path, or what stands for it."""
    try:
        return find(fs, path)
    except OUT_OF_REACH:
        return UNREADABLE


def out_of_reach(error: OSError, path: str) -> str:
    """Why the bytes of a file cannot be had. `path`: where it lies, if on this machine."""
    if isinstance(error, PermissionError):
        return "may not be read; mend its permissions"
    if isinstance(error, IsADirectoryError):
        return "is a folder"
    if os.path.islink(path):  # noqa: PTH114 - paths of stores are text
        return f"is a link to {os.readlink(path)}, where nothing is"  # noqa: PTH115
    return "is gone"


def unreadable_files(ranges: Iterable[SourceRange]) -> dict[str, str]:
    """Why each file cannot be read that a plan sends to quarantine, by name."""
    found: dict[str, str] = {}
    for part in ranges:
        if part.unreadable:
            found[part.file] = part.unreadable
        for member, digest in zip(part.members, part.member_digests, strict=False):
            if digest and UNREADABLE.startswith(digest):
                found[f"{part.file}/{member}"] = "its bytes cannot be had"
    return found


def unreadable_warnings(ranges: Iterable[SourceRange]) -> tuple[str, ...]:
    """A sentence on the files that cannot be read; none where all can."""
    found = unreadable_files(ranges)
    if not found:
        return ()
    told = "; ".join(f"{name} {why}" for name, why in list(found.items())[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    files = f"{len(found):,} file{'s' if len(found) > 1 else ''}"
    return (
        f"source.unreadable: {files} cannot be read and {'go' if len(found) > 1 else 'goes'} to quarantine: "
        f"{told}{more}; source.exclude leaves files out, unreadable: fail refuses them",
    )
