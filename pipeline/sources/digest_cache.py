"""Digests of local source files from one plan to the next, so that files which did not change cost no read.

A file is taken for the same where its device, inode, size, mtime and ctime are: no edit, copy or restore leaves all of
them alone, and none carries over to another machine. A file that was touched in the last seconds before it was read
is not cached, since an edit within the tick of the file system's clock would not show (git calls such files racy).

The cache is one file per source in the folder `HARDSET_CACHE` (unset: hardset in the user's cache folder; empty: none),
which only its owner may write, or it is not believed. Losing it costs time and nothing else.
"""

from __future__ import annotations

import json
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hardset.pipeline.sources.files import Place
from hardset.pipeline.sources.fingerprints import Identity, identity_of, is_local, is_racy
from hardset.pipeline.storage.folder import in_parallel
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.environment import CACHE

_VERSION = 1


class DigestCache:
    """Digests by file, each with the identity of the file that it was computed for."""

    def __init__(self, known: Mapping[str, tuple[Identity, str]]) -> None:
        self._known = dict(known)
        self.changed = False

    def digests(self, paths: Mapping[str, str], read: Callable[[str], str]) -> dict[str, str]:
        """The digest of each file. `paths`: local path by name; `read` finds the digest of a path that is not known."""
        now = {name: _identity(path) for name, path in paths.items()}
        found = {name: known[1] for name in paths if (known := self._known.get(name)) and known[0] == now[name]}
        rest = [name for name in paths if name not in found]
        began = time.time()
        for name, digest in zip(rest, in_parallel(lambda name: read(paths[name]), rest), strict=True):
            found[name] = digest
            identity = _identity(paths[name])
            if identity is not None and identity == now[name] and not is_racy(identity, began):
                self._known[name] = (identity, digest)
                self.changed = True
        return found

    def __iter__(self) -> Iterator[tuple[str, tuple[Identity, str]]]:
        return iter(self._known.items())


class _NoCache(DigestCache):
    """Cache that remembers nothing, for stores that give tags or no identity of files."""

    def digests(self, paths: Mapping[str, str], read: Callable[[str], str]) -> dict[str, str]:
        return dict(zip(paths, in_parallel(read, list(paths.values())), strict=True))


@contextmanager
def digest_cache(place: Place) -> Iterator[DigestCache]:
    """Cache of a source's files, which is saved at the end if it has changed."""
    file = _file(place)
    if file is None:
        yield _NoCache({})
        return
    cache = DigestCache(_load(file))
    yield cache
    if cache.changed:
        with suppress(OSError):  # a full disk or a read-only home costs the next plan time, and this one nothing
            _save(file, cache)


def home() -> Path | None:
    """Folder of what is remembered of sources; None where nothing is."""
    named = CACHE.read()
    if named == "":
        return None
    try:
        return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardset"
    except RuntimeError:  # a user without a home
        return None


def believed(file: Path) -> bytes:
    """Content of a file of this cache. Raises OSError where it is missing, or another user may have written it."""
    with file.open("rb") as handle:
        found = os.fstat(handle.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{file} may be written by others")
        return handle.read()


def save_private(file: Path, text: str) -> None:
    """Puts a file of this cache in place whole, which only its owner may write. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _file(place: Place) -> Path | None:
    """File of a source's cache; None if it has none."""
    folder = home()
    if folder is None or not is_local(place.fs):
        return None
    return folder / "digests" / f"{sha256_hex(place.path)[:32]}.json"


def _identity(path: str) -> Identity | None:
    """Identity of a file; None for a link that leads nowhere, or to where nothing may be looked at."""
    try:
        return identity_of(path)
    except (FileNotFoundError, PermissionError):
        return None


def _load(file: Path) -> dict[str, tuple[Identity, str]]:
    """Content of the file; empty if it is missing, broken, or writable by another user."""
    try:
        content: Any = json.loads(believed(file))
        if content["version"] != _VERSION:
            return {}
        return {name: (_checked(identity), str(digest)) for name, (identity, digest) in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _checked(identity: list[Any]) -> Identity:
    device, inode, size, modified, changed = map(int, identity)
    return device, inode, size, modified, changed


def _save(file: Path, cache: DigestCache) -> None:
    save_private(file, canonical_json({"version": _VERSION, "files": dict(cache)}))
