"""How long a command takes before it does anything: `hardset --help` beside `python -c "import typer, pydantic"`.

    python -m benchmarks.start [--rounds 20]    writes docs/benchmarks/start.json

Both are processes of their own and take turns; the medians and their ratio are of one run.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

MOST_TIMES = 4
"""What the ratio may be at most."""
TARGET = Path(__file__).parents[1] / "docs" / "benchmarks" / "start.json"
LINES = {
    "import typer, pydantic": ["-c", "import typer, pydantic"],
    "hardset --help": ["-m", "hardset", "--help"],
    "hardset --version": ["-m", "hardset", "--version"],
    "hardset generate --help": ["-m", "hardset", "generate", "--help"],
}


def measured(rounds: int) -> dict[str, Any]:
    """Median seconds of each line, after one round that warms the caches of files."""
    seconds: dict[str, list[float]] = {name: [] for name in LINES}
    for number in range(rounds + 1):
        for name, arguments in LINES.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            if number:
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    first = medians["import typer, pydantic"]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": rounds,
        "median_s": {name: round(value, 4) for name, value in medians.items()},
        "times_the_imports": {name: round(value / first, 2) for name, value in medians.items()},
        "asked_at_most": MOST_TIMES,
    }


def main(rounds: Annotated[int, typer.Option(min=1, help="Processes of each line.")] = 20) -> None:
    """Measures and writes the figures."""
    figures = measured(rounds)
    TARGET.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
