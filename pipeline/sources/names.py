"""Names of files that count as a source's: what is hidden or litter does not, and a job may take or leave more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_LITTER_FILES = {"Thumbs.db", "ehthumbs.db", "desktop.ini"}
_LITTER_FOLDERS = {"@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Files and folders that file managers, network storage and file systems put anywhere."""


@dataclass(frozen=True)
class Names:
    """Which names count, relative to the source."""

    include: tuple[str, ...] = ()
    """Patterns of which a file must match one; empty: all files."""
    exclude: tuple[str, ...] = ()
    """Patterns of which a file may match none."""
    tables: bool = False
    """Whether names that begin with an underscore are hidden, too, as Spark and pyarrow hide what writers leave."""

    def takes(self, name: str) -> bool:
        """Whether a file counts."""
        *folders, base = name.split("/")
        if base.startswith(".") or base in _LITTER_FILES or (self.tables and base.startswith("_")):
            return False
        if not all(map(self._is_open, folders)) or matches_any(self.exclude, name):
            return False
        return not self.include or matches_any(self.include, name)

    def enters(self, folder: str) -> bool:
        """Whether files below a folder may count."""
        return self._is_open(folder.rpartition("/")[2]) and not matches_any(self.exclude, folder)

    def _is_open(self, folder: str) -> bool:
        if folder.startswith((".", "__")) or folder in _LITTER_FOLDERS:
            return False
        # Spark enters _key=value: a partition by a column whose name begins so.
        return not (self.tables and folder.startswith("_") and "=" not in folder)


def matches_any(patterns: Sequence[str], name: str) -> bool:
    """Whether a name matches a pattern, or lies in a folder that does.

    As in .gitignore: `*` and `?` stop at a slash, `**` does not; without a slash a pattern is held against every part
    of the name, with one against the whole.
    """
    parts = name.split("/")
    whole = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    for pattern in patterns:
        bare = pattern.strip("/")
        if any(map(_translated(bare).fullmatch, whole if "/" in bare else parts)):
            return True
    return False


@lru_cache(maxsize=1024)
def _translated(pattern: str) -> re.Pattern[str]:
    pieces = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(
        fixed.get(piece)
        or (f"[^{piece[2:]}" if piece.startswith("[!") else piece if len(piece) > 1 else re.escape(piece))
        for piece in pieces
    )
    return re.compile(text, re.DOTALL)
