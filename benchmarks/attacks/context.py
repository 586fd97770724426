"""What every part of the benchmark is told, and where it leaves its figures."""

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
    """Where and how much."""

    data: Published
    device: torch.device
    quick: bool
    """Few rows and one round: shows that everything runs; its figures mean nothing."""
    full: bool
    """Also the slow references."""

    def rows(self, normal: int, quick: int = 32) -> int:
        """How many rows to take."""
        return quick if self.quick else normal

    def rounds(self, normal: int) -> int:
        """How often contenders take turns."""
        return 1 if self.quick else normal

    def steps(self, normal: int) -> int:
        """How many steps to take."""
        return min(normal, 3) if self.quick else normal

    def settle(self) -> None:
        """Waits until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def subject(self, name: str, rows: int) -> Subject:
        """A published model; random rows and an untrained network where the folder is absent."""
        return self.data.subject(name, rows) if self.data else random_subject(rows)


@dataclass(frozen=True)
class Book:
    """The JSON file, written after every line, so that an interrupted run can go on."""

    path: Path

    def read(self) -> Record:
        """All sections; empty where there is no file."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def line(self, section: str, name: str, measure: Callable[[], Record], *, resume: bool) -> None:
        """Measures one line of a section, unless it is there and `resume` says to keep it."""
        if resume and name in self.read().get(section, {}).get("lines", {}):
            return
        print(f"{section}: {name}", flush=True)
        record = measure()
        whole = self.read()
        whole.setdefault(section, {}).setdefault("lines", {})[name] = record
        self._write(whole)

    def note(self, section: str, **values: Any) -> None:
        """Sets values of a section beside its lines."""
        whole = self.read()
        whole.setdefault(section, {}).update(values)
        self._write(whole)

    def clear(self, section: str) -> None:
        """Forgets a section."""
        whole = self.read()
        whole.pop(section, None)
        self._write(whole)

    def _write(self, whole: Record) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)
