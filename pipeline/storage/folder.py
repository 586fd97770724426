"""Places that bytes are kept in: one class for a folder on any fsspec URL, with atomic and conditional writes.

Readers see a file whole or not at all. On a disk a file is written beside its place, flushed to the device and
renamed or linked; on an object store it is one PUT. Listings are never answered from a cache.
"""

from __future__ import annotations

import errno
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from hardset.pipeline.storage.disk import LocalStore
from hardset.pipeline.storage.objects import MemoryStore, ObjectStore
from hardset.pipeline.storage.retrying import denied, passes
from hardset.pipeline.storage.stores import Store, reason
from hardset.schemas.errors import DeniedError, JobError, RunError
from hardset.schemas.retries import Retries

TEMPORARY = ".hardset-tmp-"
"""Start of the names of unfinished files, which listings leave out."""
Names = list[str]
Item = TypeVar("Item")
Result = TypeVar("Result")
_THREADS = 16  # parallel requests; past this a single S3 client gains little
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_QUERY = re.compile(r"(?<=\w)[?#][^\s'\"]*")
_CREDENTIALS = re.compile(r"(?<=://)[^/]*@")


class Folder:
    """A folder, with paths relative to it as `a/b.json`. Safe to share between threads and processes; pickles.

    Refusals of the store (full, out of reach) are RunErrors of one sentence, and DeniedErrors where no further try
    mends them; a missing file is FileNotFoundError.
    """

    def __init__(self, url: str, *, retries: Retries | None = None, **options: Any) -> None:
        """`url`: any fsspec URL or local path; `options`: as its fsspec filesystem takes them.

        `retries`: of requests to object stores, by default as the environment says. Raises JobError where the URL
        names no store that is installed.
        """
        self.url = url
        self.name = public_name(url)
        """The URL without credentials and query."""
        try:
            system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
        except (ImportError, ValueError) as error:
            raise JobError(f"{self.name}: cannot be opened: {_told(error, url)}") from None
        self._store = _store(system, str(root), retries or Retries.from_environment())

    def __repr__(self) -> str:
        return f"Folder({self.name!r})"

    @property
    def place(self) -> str:
        """Location for libraries that do not know fsspec: an absolute path on a disk, else the URL."""
        return str(self._store.root.resolve()) if isinstance(self._store, LocalStore) else self.url.rstrip("/")

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError where there is none."""
        with self._refusals("read", path, passing=FileNotFoundError):
            return self._store.read(_relative(path))

    def read_part(self, path: str, start: int, stop: int) -> bytes:
        """The bytes of a file from `start` to before `stop`. Raises FileNotFoundError where there is no such file."""
        with self._refusals("read", path, passing=FileNotFoundError):
            return self._store.read_part(_relative(path), start, stop)

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        """The bytes of several files, in their order, read in parallel."""
        return in_parallel(self.read, paths)

    def write(self, path: str, data: bytes) -> None:
        """Puts a file in place, over an older one if there is one, atomically."""
        with self._refusals("write", path):
            self._store.write(_relative(path), data, _temporary())

    def create(self, path: str, data: bytes) -> bool:
        """Puts a file in place if the name is free: True for the one winner, False where the file is there already.

        On an object store a file of these very bytes counts as this call's, whose answer may have got lost; so `data`
        must tell its maker from others, by a token or a time. Raises RunError where the store has no conditional write.
        """
        with self._refusals("create", path):
            return self._store.create(_relative(path), data, _temporary())

    def exists(self, path: str) -> bool:
        """Whether the file exists."""
        with self._refusals("look for", path):
            return self._store.exists(_relative(path))

    def list(self, prefix: str = "") -> Names:
        """Sorted relative paths of all files, at any depth, whose path starts with `prefix`."""
        with self._refusals("list", prefix):
            if prefix:
                _relative(prefix)
            found = self._store.walk(prefix.rpartition("/")[0])
            return sorted(path for path in found if path.startswith(prefix) and not _hidden(path))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Sizes in bytes of all files that `list` gives, by path and in its order."""
        with self._refusals("list", prefix):
            if prefix:
                _relative(prefix)
            found = self._store.sizes(prefix.rpartition("/")[0])
            return {path: found[path] for path in sorted(found) if path.startswith(prefix) and not _hidden(path)}

    def leftovers(self, seconds: float) -> dict[str, int]:
        """Sizes in bytes, by path, of unfinished files not written to for `seconds`; `list` leaves them out."""
        with self._refusals("list", "unfinished files"):
            looks = {path: self._store.look(path) for path in sorted(self._store.walk("")) if _hidden(path)}
            return {path: look.bytes for path, look in looks.items() if look.age >= seconds}

    def folders(self, path: str = "") -> Names:
        """Sorted names of the folders directly inside `path`."""
        with self._refusals("list", path):
            return sorted(self._store.folders(_relative(path) if path else ""))

    def inside(self, path: str) -> bool:
        """Whether the file really lies in this folder: it is no symbolic link, and none on its way leads out."""
        with self._refusals("look for", path):
            return self._store.inside(_relative(path))

    def delete(self, path: str) -> None:
        """Removes a file; a missing one is no error. Raises RunError where it is not `inside`."""
        with self._refusals("delete", path):
            self._store.delete(_relative(path))

    def remove_empty(self, path: str) -> None:
        """Removes the folders at and below `path` that hold nothing, where a store has folders."""
        with self._refusals("delete", path):
            self._store.remove_empty(_relative(path))

    def check_writable(self) -> None:
        """Proves by trial that files can be written and conditionally created here; leaves nothing behind.

        Raises JobError, which names output.path, where they cannot; RunError where they may later.
        """
        probe = TEMPORARY + "probe-" + uuid.uuid4().hex
        try:
            with self._store.leaving_nothing(probe):
                self._store.write(probe, b"first", _temporary())
                taken = self._store.create(probe, b"second", _temporary())
        except Exception as error:
            passing = passes(error) or getattr(error, "errno", None) in _FULL
            raise (RunError if passing else JobError)(
                f"output.path: {self.name} cannot be written to: {_told(error, self.url)}; "
                "check that it is a folder that may be written to and has space, or choose another"
            ) from error
        if taken:
            raise JobError(
                f"output.path: {self.name} ignores conditional writes (If-None-Match), without which two runs could "
                "overwrite each other; choose a store that honours them"
            )

    @contextmanager
    def _refusals(self, act: str, path: str, passing: type[Exception] | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(error, RunError) or (passing and isinstance(error, passing)):
                raise
            kind = DeniedError if denied(error) else RunError
            raise kind(f"{self.name}: cannot {act} {path or 'it'}: {_told(error, self.url)}{_mend(error)}") from error


def _store(system: Any, root: str, retries: Retries) -> Store:
    if isinstance(system, LocalFileSystem):
        return LocalStore(root)
    if isinstance(system, MemoryFileSystem):
        return MemoryStore(system, root, retries)
    return ObjectStore(system, root, retries)


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise RunError(f"{path!r}: not a path inside a dataset folder")
    return path


def _hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(TEMPORARY)


def _temporary() -> str:
    return TEMPORARY + uuid.uuid4().hex


def _told(error: Exception, url: str) -> str:
    """The reason of a refusal without the secrets of `url`, which client libraries like to repeat."""
    text = reason(error)
    for secret in filter(None, _CREDENTIALS.findall(url)):
        text = text.replace(secret, "")
    return _QUERY.sub("", text)


def _mend(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _FULL:
        return "; free some space and start again, what is committed is kept"
    if isinstance(error, PermissionError) or number in _FORBIDDEN:
        return "; check the permissions"
    return ""


def place_of(url: str) -> tuple[Folder, str]:
    """Folder that a file at any fsspec URL lies in, and its name; the name is empty for a URL of a folder."""
    parent, slash, name = url.rpartition("/")
    if parent.endswith(":/") or (slash and not parent):  # memory://name, /name: the parent is the root itself
        parent += "/"
    return Folder(parent or "."), name


def public_name(url: str) -> str:
    """`url` without user, password, query or fragment: what may reach rows, records, logs and reports."""
    if "://" not in url:
        return url
    return "::".join(_CREDENTIALS.sub("", re.split(r"[?#]", link)[0]) for link in url.split("::"))


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results of `function` for every item, in order; called in threads, for calls that mostly wait for storage."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_THREADS, len(items))) as pool:
        return list(pool.map(function, items))
