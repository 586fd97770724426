"""What was injected and what came of it: counted while the suite runs, told at its end."""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from tests.chaos.faults import FAULTS, NAMES


@dataclass
class Trouble:
    """One trial: the faults it met and how its starts ended."""

    name: str
    faults: dict[str, int] = field(default_factory=dict)
    """How many struck, by name."""
    starts: int = 0
    """Drivers started."""
    exit_codes: list[int] = field(default_factory=list)
    """Exit codes of the drivers that ended by themselves."""
    files: int = 0
    """Data and quarantine files compared."""
    unharmed: bool = False
    """Whether all of them had the bytes of the undisturbed run."""
    seconds: float = 0.0

    def note(self, fault: str, times: int = 1) -> None:
        """Counts a fault that struck."""
        assert fault in NAMES, fault
        with _LOCK:
            self.faults[fault] = self.faults.get(fault, 0) + times


_LOCK = Lock()


@dataclass
class Report:
    """The whole session."""

    seed: str
    trials: list[Trouble] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def random(self, name: str) -> random.Random:
        """The generator of one trial, so that it can be run again alone."""
        return random.Random(f"{self.seed} {name}")

    def trial(self, name: str) -> Trouble:
        """Opens the book of a trial."""
        self.trials.append(Trouble(name))
        return self.trials[-1]

    def state(self) -> list[dict[str, Any]]:
        """All trials as plain data, for another process."""
        return [asdict(trial) for trial in self.trials]

    def absorb(self, state: list[dict[str, Any]]) -> None:
        """Takes in the trials of another process."""
        self.trials += [Trouble(**trial) for trial in state]

    def by_fault(self) -> dict[str, int]:
        """How many faults struck, by name, in the order of the table."""
        total = Counter[str]()
        for trial in self.trials:
            total.update(trial.faults)
        return {fault.name: total[fault.name] for fault in FAULTS if total[fault.name]}

    def total(self) -> int:
        """How many faults struck."""
        return sum(self.by_fault().values())

    def lines(self) -> list[str]:
        """The report for people."""
        harmed = [trial.name for trial in self.trials if not trial.unharmed]
        return [
            f"{self.total()} faults in {len(self.trials)} datasets, {time.monotonic() - self.began:.0f} s, "
            f"HARDSET_CHAOS_SEED={self.seed}",
            *(f"  {number:4d}  {name}" for name, number in self.by_fault().items()),
            f"datasets with the bytes of an undisturbed run: {len(self.trials) - len(harmed)} of {len(self.trials)}"
            + "".join(f"; NOT {name}" for name in harmed),
        ]

    def write(self, path: Path) -> None:
        """The report for machines."""
        content = {
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began, 1),
            "total": self.total(),
            "faults": self.by_fault(),
            "trials": [trial | {"seconds": round(trial["seconds"], 1)} for trial in self.state()],
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
