"""Findings of an audit: what it looked at, and every fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Findings:
    """Counts of what an audit looked at, and every fault it found."""

    files: int = 0
    rows: int = 0
    rejudged: int = 0
    remade: int = 0
    signature: Literal["none", "unchecked", "valid", "invalid"] = "none"
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences on what was not looked at, and what to bring for it."""

    def add(self, where: str, what: str) -> None:
        """Notes a fault."""
        self.faults.append(f"{where}: {what}")

    def note(self, what: str) -> None:
        """Notes what was not looked at, once."""
        if what not in self.notes:
            self.notes.append(what)
