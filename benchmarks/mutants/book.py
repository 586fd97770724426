"""What was tried so far, kept in a JSON file after each mutant, so that a run can be cut off and resumed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutants.drawing import Mutant
from benchmarks.mutants.trial import Verdict


@dataclass(frozen=True)
class Entry:
    """A mutant and what became of it."""

    key: str
    file: str
    definition: str
    line: int
    operator: str
    diff: str
    code: str
    """Git's name of the file that was changed."""
    tests: str
    """Git's names of the tests that were run."""
    outcome: str = "not run"
    """Or: killed, survived, timed out."""
    by: str = ""
    """The first test that failed."""
    whole: bool = False
    """Whether all tests of the room were run, rather than the nearest alone."""
    seconds: float = 0.0

    def stands(self, tests: str) -> bool:
        """Whether the outcome is that of these tests, too: more tests kill no fewer."""
        return self.outcome == "killed" or (self.outcome != "not run" and self.tests == tests)


@dataclass
class Book:
    """Entries by key, and how they were drawn."""

    path: Path
    about: dict[str, Any]
    entries: dict[str, Entry]

    @classmethod
    def opened(cls, path: Path, about: dict[str, Any]) -> Book:
        """The entries of an earlier run under the same seed; none where there is no such run."""
        if not path.exists():
            return cls(path, about, {})
        told = json.loads(path.read_text(encoding="utf-8"))
        same = told["about"]["seed"] == about["seed"]
        return cls(path, about, {entry["key"]: Entry(**entry) for entry in told["mutants"]} if same else {})

    def bring_up_to_date(self, drawn: list[Mutant], versions: dict[str, tuple[str, str]]) -> None:
        """Keeps what was found of the mutants drawn now, where their file is the same.

        What survived other tests is kept until it is tried again, so that a run that is cut off looks no better than
        it was. `versions`: git's names of code and tests by file.
        """
        before, self.entries = self.entries, {}
        for mutant in drawn:
            code, tests = versions[mutant.file]
            held = before.get(mutant.key)
            entry = Entry(
                mutant.key, mutant.file, mutant.definition, mutant.line, mutant.operator, mutant.diff, code, tests
            )
            self.entries[mutant.key] = held if held is not None and held.code == code else entry

    def note(self, entry: Entry, verdict: Verdict, tests: str, *, whole: bool) -> None:
        """Takes a verdict in, and writes the file."""
        told = {
            "outcome": verdict.outcome,
            "by": verdict.by,
            "seconds": verdict.seconds,
            "whole": whole,
            "tests": tests,
        }
        self.entries[entry.key] = Entry(**asdict(entry) | told)
        self.write()

    def write(self) -> None:
        """Writes the file."""
        mutants = [asdict(self.entries[key]) for key in sorted(self.entries)]
        text = json.dumps({"about": self.about, "mutants": mutants}, indent=1)
        self.path.write_text(text + "\n", encoding="utf-8")
