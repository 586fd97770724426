"""A folder some of whose files are read once, for whoever asks for the same small files in many places."""

from __future__ import annotations

from hardset.pipeline.storage.folder import Folder


class RememberedFolder(Folder):
    """A folder that keeps the bytes of what was read below `places`, for as long as it lives.

    Whoever asks again is told what the file held then. Listings, and whether a file exists, are asked for anew.
    """

    def __init__(self, folder: Folder, places: tuple[str, ...]) -> None:
        """`places`: starts of relative paths."""
        vars(self).update(vars(folder))
        self._places = places
        self._found: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError where there is none."""
        if not path.startswith(self._places):
            return super().read(path)
        if path not in self._found:
            self._found[path] = super().read(path)
        return self._found[path]
