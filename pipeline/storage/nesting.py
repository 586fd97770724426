"""Whether one place lies in another, whatever links, protocols and spellings lead there."""

from __future__ import annotations

import os
import posixpath
import re
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

_SAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}
_LOCAL = ("", "file", "local")


class Where(NamedTuple):
    """A place in one spelling."""

    protocol: str
    """Empty for this machine's own files."""
    path: str
    """Absolute; of a local one every link is followed."""


def where(url: str) -> Where:
    """The place of a URL or path. Of chained URLs the last counts, which holds what the others unpack or copy."""
    link = url.rsplit("::", maxsplit=1)[-1]
    protocol, found, rest = link.partition("://")
    protocol = protocol.lower() if found else ""
    if protocol in _LOCAL:
        return Where("", os.path.realpath(Path(rest if found else link).expanduser()))
    protocol = _SAME.get(protocol, protocol)
    rest = re.split(r"[?#]", rest)[0] if protocol in ("http", "https") else rest
    host, _, path = rest.partition("/")
    # az://container@account.host/path and az://container/path, but https://user:password@host/path.
    host = host.split("@")[0] if protocol == "az" else host.rpartition("@")[2]
    return Where(protocol, posixpath.normpath(f"/{host}/{path}").lstrip("/"))


def lies_in(inner: Where, outer: Where) -> bool:
    """Whether `inner` is `outer` or lies below it."""
    if inner.protocol != outer.protocol:
        return False
    if not inner.protocol:
        return any(_same(place, Path(outer.path)) for place in (Path(inner.path), *Path(inner.path).parents))
    return inner.path == outer.path or inner.path.startswith(f"{outer.path}/") or outer.path in ("", ".")


def matches_in(pattern: str, folder: Where) -> bool:
    """Whether a glob may match a path in a folder: `data/*.parquet` matches none in `data/out`, `data/**` does."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if has_magic(part))
    root = where("/".join(parts[:first]) or ("/" if pattern.startswith("/") else "."))
    if lies_in(root, folder):
        return True
    if not lies_in(folder, root):
        return False
    below = folder.path[len(root.path) :].strip("/").split("/")
    for wanted, name in zip(parts[first:], below, strict=False):
        if "**" in wanted:
            return True
        if not fnmatchcase(name, wanted):
            return False
    return len(parts) - first > len(below)


def _same(one: Path, other: Path) -> bool:
    """Whether two real paths are one: spelled alike, or one folder by another name (case, bind mounts)."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False
