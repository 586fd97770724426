"""Runs parts line by line within their time, and rewrites one JSON after every line."""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu.setting import Line, Part, Record, Setting


class OutOfTimeError(BaseException):
    """The part's time is over. Not an Exception, so that no fallback inside the measured code takes it for one."""


@dataclass(frozen=True)
class Book:
    """The JSON file. A run of single parts keeps the others; an interruption costs the line that was being measured."""

    path: Path

    def read(self) -> Record:
        """All that is there; empty where there is no file."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def write(self, whole: Record) -> None:
        """Replaces the file at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)

    def machine(self, described: Record) -> None:
        """Notes the machine, and forgets parts that were measured on another one, or in another size."""
        whole = self.read()
        same = all(whole.get("machine", {}).get(key) == described[key] for key in ("accelerator", "cpu", "tiny"))
        self.write({"machine": described, "parts": whole.get("parts", {}) if same else {}})

    def part(self, name: str, record: Record) -> None:
        """Replaces one part."""
        whole = self.read()
        whole.setdefault("parts", {})[name] = record
        self.write(whole)


def run_part(part: Part, setting: Setting, book: Book) -> Record:
    """Runs the lines of a part until its time is over; what failed or was left out is said in its line."""
    started = time.perf_counter()
    setting = replace(setting, deadline=started + part.seconds)
    record: Record = {"title": part.title, "budget_seconds": part.seconds, "lines": {}}
    print(f"{part.name}: {part.title} (at most {part.seconds:.0f} s)", flush=True)
    for name, line in part.lines(setting).items():
        before = time.perf_counter()
        record["lines"][name] = found = run_line(line, setting)
        found["line_seconds"] = round(time.perf_counter() - before, 2)
        record["seconds"] = round(time.perf_counter() - started, 2)
        print(f"  {name}: {told(found)} ({found['line_seconds']} s)", flush=True)
        book.part(part.name, record)
    return record


def run_line(line: Line, setting: Setting) -> Record:
    """What a line measures, or why it measured nothing: `failed`, or `left_out`."""
    if setting.left() <= 0:
        return {"left_out": "the time of the part was over before"}
    try:
        with alarm(setting.left()):
            return line()
    except OutOfTimeError:
        return {"left_out": "cut off, as the time of the part was over"}
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises OutOfTimeError in the main thread after so many seconds, as soon as the Python code there goes on."""

    def ring(_signal: int, _frame: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, 3600.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def told(record: Record) -> str:
    """A line for the terminal: how it ended, with its single figures."""
    for key in ("failed", "left_out"):
        if key in record:
            return f"{key.replace('_', ' ')}: {record[key]}"
    plain = {key: value for key, value in record.items() if isinstance(value, int | float | str)}
    return ", ".join(f"{key} {value}" for key, value in plain.items() if key != "line_seconds") or "done"
