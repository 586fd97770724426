"""The store of bytes on a disk."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hardset.pipeline.storage.stores import Look

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MISSING = (FileNotFoundError, NotADirectoryError)
"""Errors for a missing path; the latter where a part of the path is a file."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


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
