"""The command line at work in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.processes import PATIENCE, send

ROOT = Path(__file__).resolve().parents[2]

SKEW = "import time; own = time.time; time.time = lambda: own() + {}\n"
MAIN = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from hardset.__main__ import main; main()"
"""The command, which heeds a closed terminal also where `nohup` started the suite."""


class Driver:
    """`hardset generate JOB --json`, and how it ended."""

    def __init__(
        self, job: Path, address: str | None, says: Path, options: Sequence[str] = (), *, ahead: float = 0.0
    ) -> None:
        """`says`: where what it says goes, as .out and .err. `ahead`: seconds that its clock is ahead of this one's."""
        where = [] if address is None else ["--address", address]
        line = ["generate", str(job), *where, *options, "--json"]
        command = [sys.executable, "-c", SKEW.format(ahead) + MAIN, *line]
        self.out, self.err = says.with_suffix(".out"), says.with_suffix(".err")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        send(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        self.process.kill()
        self.process.wait()

    def end(self, *, patience: float = PATIENCE) -> int:
        """Waits for its end and returns the exit code."""
        try:
            return self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the driver did not end within {patience:.0f} s: {self.said()}") from None

    def answer(self) -> dict[str, Any]:
        """The JSON object on the last line of its stdout; empty where it said nothing."""
        lines = self.out.read_text().strip().splitlines()
        return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}

    def said(self) -> str:
        """Its stderr and the end of its stdout."""
        return self.err.read_text()[-4000:] + self.out.read_text()[-2000:]
