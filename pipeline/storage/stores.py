"""What `pipeline.storage.folder.Folder` asks of a store of bytes, and how a store's refusals are told.

Paths are relative to the store's root. Errors are those of the operating system or of the client library.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from hardset.pipeline.storage.retrying import StoreAnswer


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
