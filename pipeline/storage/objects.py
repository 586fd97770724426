"""Stores of bytes behind fsspec: object stores, and its memory.

Requests to object stores are tried again while their faults pass by themselves (`pipeline.storage.retrying`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from fsspec.implementations.memory import MemoryFile

from hardset.pipeline.storage.retrying import StoreAnswer, patiently
from hardset.pipeline.storage.stores import Look
from hardset.schemas.retries import Retries

RESULT = TypeVar("RESULT")


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


def _taken(error: Exception) -> bool:
    answer = StoreAnswer.of(error)
    return isinstance(error, FileExistsError) or answer.code == "PreconditionFailed" or answer.status == 412
