"""Stores of bytes: a disk, memory, or an object store behind `pipeline.storage.folder.Folder`.

Paths are relative to the store's root. Errors are those of the operating system or of the client library. Requests to
object stores are tried again while their faults pass by themselves (`pipeline.storage.retrying`).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fsspec.implementations.memory import MemoryFile

from hardset.pipeline.storage.retrying import StoreAnswer, patiently
from hardset.schemas.retries import Retries

RESULT = TypeVar("RESULT")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MISSING = (FileNotFoundError, NotADirectoryError)
"""Errors for a missing path; the latter where a part of the path is a file."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Look:
    """Size and age of a file as its store tells them; both 0 where it does not, or there is no file."""

    bytes: int = 0
    age: float = 0.0
    """Seconds since the file was written."""


class Store(Protocol):
    """Whole files under a root. `temporary` is a free file name that an unfinished file may bear."""

    def read(self, path: str) -> bytes: ...
    def read_part(self, path: str, start: int, stop: int) -> bytes: ...
    def write(self, path: str, data: bytes, temporary: str) -> None: ...
    def create(self, path: str, data: bytes, temporary: str) -> bool: ...
    def exists(self, path: str) -> bool: ...
    def walk(self, folder: str) -> list[str]: ...
    def sizes(self, folder: str) -> dict[str, int]: ...
    def look(self, path: str) -> Look: ...

    def folders(self, folder: str) -> list[str]: ...
    def inside(self, path: str) -> bool: ...
    def delete(self, path: str) -> None: ...
    def remove_empty(self, folder: str) -> None: ...
    def leaving_nothing(self, path: str) -> AbstractContextManager[None]:
        """Removes the file and the folders that were made for it."""
        ...


def reason(error: BaseException) -> str:
    """Reason of a store's refusal, in one line of at most 200 characters."""
    number, code = getattr(error, "errno", None), StoreAnswer.of(error).code
    if code and not code.isdecimal():  # s3fs puts error numbers of its own beside what S3 said
        text = f"{code}: {getattr(error, 'strerror', None) or error}"
    else:
        text = os.strerror(number) if number and number != errno.EINVAL else str(error) or type(error).__name__
    return " ".join(text.split())[:200].rstrip(".")


class LocalStore:
    """A folder of a POSIX file system."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from error

    def read_part(self, path: str, start: int, stop: int) -> bytes:
        with (self.root / path).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def write(self, path: str, data: bytes, temporary: str) -> None:
        full = self.root / path
        with _unfinished(full.with_name(temporary), data) as unfinished:
            unfinished.replace(full)
        _flush_folder(full.parent)

    def create(self, path: str, data: bytes, temporary: str) -> bool:
        full = self.root / path
        if os.path.lexists(full):
            return False
        with _unfinished(full.with_name(temporary), data) as unfinished:
            try:
                full.hardlink_to(unfinished)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise OSError("the file system has no hard links, which files with one winner need") from error
                raise
        _flush_folder(full.parent)
        return True

    def exists(self, path: str) -> bool:
        return (self.root / path).is_file()

    def walk(self, folder: str) -> list[str]:
        found: list[str] = []
        for place, _, names in os.walk(self.root / folder, onerror=_unless_missing):
            below = Path(place).relative_to(self.root)
            found += [(below / name).as_posix() for name in names]
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        found = {}
        for path in self.walk(folder):
            with suppress(*_MISSING):  # gone since it was listed
                found[path] = (self.root / path).stat().st_size
        return found

    def look(self, path: str) -> Look:
        try:
            found = (self.root / path).stat()
        except _MISSING:
            return Look()
        return Look(found.st_size, time.time() - found.st_mtime)

    def folders(self, folder: str) -> list[str]:
        try:
            return [entry.name for entry in (self.root / folder).iterdir() if entry.is_dir()]
        except _MISSING:
            return []

    def inside(self, path: str) -> bool:
        full = self.root / path
        return full.parent.resolve().is_relative_to(self.root.resolve()) and not full.is_symlink()

    def delete(self, path: str) -> None:
        if not self.inside(path):
            raise PermissionError("a link on its way leads elsewhere; what lies there is not this folder's to remove")
        with suppress(*_MISSING):
            (self.root / path).unlink()

    def remove_empty(self, folder: str) -> None:
        if not self.inside(folder):
            return
        for place, _, _ in os.walk(self.root / folder, topdown=False):
            with suppress(OSError):  # it holds something
                Path(place).rmdir()

    @contextmanager
    def leaving_nothing(self, path: str) -> Iterator[None]:
        place = (self.root / path).parent
        made = [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]
        try:
            yield
        finally:
            with suppress(OSError):
                self.delete(path)
                for folder in made:
                    folder.rmdir()


class ObjectStore:
    """A prefix of any fsspec filesystem whose writes are single acts."""

    def __init__(self, system: Any, root: str, retries: Retries) -> None:
        self.system = system
        self.root = root.rstrip("/")
        self.retries = retries

    def read(self, path: str) -> bytes:
        return self._ask("read", lambda: bytes(self.system.cat_file(self._full(path))))

    def read_part(self, path: str, start: int, stop: int) -> bytes:
        return self._ask("read", lambda: bytes(self.system.cat_file(self._full(path), start=start, end=stop)))

    def write(self, path: str, data: bytes, temporary: str) -> None:
        self._ask("write", lambda: self.system.pipe_file(self._full(path), data))

    def create(self, path: str, data: bytes, temporary: str) -> bool:
        try:
            self._ask("create", lambda: self.system.pipe_file(self._full(path), data, mode="create"))
        except NotImplementedError as error:
            raise OSError(f"{type(self.system).__name__} has no conditional write, which commits need") from error
        except Exception as error:
            if not _taken(error):
                raise
            return self._arrived(path, data)
        return True

    def _arrived(self, path: str, data: bytes) -> bool:
        """Whether the file that is in the way is ours: an answer may get lost, and the client sends it once more."""
        try:
            return self.read(path) == data
        except FileNotFoundError:
            return False

    def exists(self, path: str) -> bool:
        try:  # fsspec's own exists() takes every fault for an absence
            found = self._ask("look", lambda: self.system.info(self._full(path)))
        except FileNotFoundError:
            return False
        return bool(found["type"] != "directory")

    def walk(self, folder: str) -> list[str]:
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        self.system.invalidate_cache()
        try:
            found = self._ask("list", lambda: self.system.find(self._full(folder), detail=True))
        except FileNotFoundError:
            return {}
        return {self._below(path): int(entry.get("size") or 0) for path, entry in found.items()}

    def look(self, path: str) -> Look:
        try:
            size = self._ask("look", lambda: self.system.size(self._full(path)))
            written = self._ask("look", lambda: self.system.modified(self._full(path)))
        except (FileNotFoundError, NotImplementedError):
            return Look()
        return Look(int(size or 0), time.time() - float(written.timestamp()))

    def folders(self, folder: str) -> list[str]:
        self.system.invalidate_cache()
        try:
            entries = self._ask("list", lambda: self.system.ls(self._full(folder), detail=True))
        except FileNotFoundError:
            return []
        return [entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory"]

    def inside(self, path: str) -> bool:
        return True

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._ask("delete", lambda: self.system.rm_file(self._full(path)))

    def remove_empty(self, folder: str) -> None:
        """Does nothing: a prefix without objects does not exist."""

    @contextmanager
    def leaving_nothing(self, path: str) -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(Exception):
                self.delete(path)

    def _ask(self, what: str, act: Callable[[], RESULT]) -> RESULT:
        return patiently(act, self.retries, what=what)

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _below(self, path: str) -> str:
        return path.removeprefix(self.root).lstrip("/")


class MemoryStore(ObjectStore):
    """fsspec's memory filesystem. Its own writes show an empty file first, and its exclusive ones have two winners."""

    def write(self, path: str, data: bytes, temporary: str) -> None:
        full = self._key(path)
        self.system.store[full] = MemoryFile(self.system, full, data)

    def create(self, path: str, data: bytes, temporary: str) -> bool:
        full = self._key(path)
        file = MemoryFile(self.system, full, data)
        return self.system.store.setdefault(full, file) is file

    def _key(self, path: str) -> str:
        return str(self.system._strip_protocol(self._full(path)))


@contextmanager
def _unfinished(place: Path, data: bytes) -> Iterator[Path]:
    """A file that holds `data`, flushed to the device, and is gone in the end unless it was renamed."""
    try:
        with os.fdopen(_open_new(place), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield place
    finally:
        with suppress(OSError):
            place.unlink()


def _open_new(place: Path) -> int:
    """Opens a new file; its folder may vanish once it is made, where another writability check ends."""
    for _ in range(3):
        with suppress(FileNotFoundError):
            _make_folder(place.parent)
            return os.open(place, _NEW, 0o666)
    return os.open(place, _NEW, 0o666)


def _make_folder(folder: Path) -> None:
    """Makes the folder and those above it, each flushed to the device in its parent."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # network file systems that cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, _MISSING):
        raise error


def _taken(error: Exception) -> bool:
    answer = StoreAnswer.of(error)
    return isinstance(error, FileExistsError) or answer.code == "PreconditionFailed" or answer.status == 412
