"""Settings of a benchmark run, and the JSON file that holds its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.attacks.cases import Published, Subject, random_subject

Record = dict[str, Any]
"""Plain values, as the JSON holds them."""


@dataclass(frozen=True)
class Context:
    """Device, data and amount of work."""

    data: Published
    device: torch.device
    quick: bool
    """Few rows and one round: checks that everything runs; the figures mean nothing."""
    full: bool
    """Include the slow reference implementations."""

    def rows(self, normal: int, quick: int = 32) -> int:
        """Number of rows."""
        return quick if self.quick else normal

    def rounds(self, normal: int) -> int:
        """Number of rounds in which contenders take turns."""
        return 1 if self.quick else normal

    def steps(self, normal: int) -> int:
        """Number of gradient steps."""
        return min(normal, 3) if self.quick else normal

    def settle(self) -> None:
        """Waits until the device has finished all queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def subject(self, name: str, rows: int) -> Subject:
        """A published model; an untrained network on random rows if the folder is absent."""
        return self.data.subject(name, rows) if self.data else random_subject(rows)


@dataclass(frozen=True)
class Book:
    """The JSON file of figures, written after every line so that an interrupted run can resume."""

    path: Path

    def read(self) -> Record:
        """All sections; empty if there is no file."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def line(self, section: str, name: str, measure: Callable[[], Record], *, resume: bool) -> None:
        """Measures one line of a section; with `resume`, a line that exists is kept."""
        if resume and name in self.read().get(section, {}).get("lines", {}):
            return
        print(f"{section}: {name}", flush=True)
        record = measure()
        whole = self.read()
        whole.setdefault(section, {}).setdefault("lines", {})[name] = record
        self._write(whole)

    def note(self, section: str, **values: Any) -> None:
        """Sets further values of a section, beside its lines."""
        whole = self.read()
        whole.setdefault(section, {}).update(values)
        self._write(whole)

    def clear(self, section: str) -> None:
        """Removes a section."""
        whole = self.read()
        whole.pop(section, None)
        self._write(whole)

    def _write(self, whole: Record) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)
