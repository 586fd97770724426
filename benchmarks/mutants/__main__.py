"""Changes the code in 400 drawn places, one at a time, and counts the changes that no test of their room notices.

    make mutants
    python -m benchmarks.mutants [--minutes N] [--seed N] [--count N] [--only TEXT] [--page]

Mutants are those of cosmic-ray, tried on a copy of the last commit: what is not committed is not measured. Each meets
the nearest tests first; those that survive them meet all tests of their room once every mutant has been tried. A run
that was cut off goes on where it stopped: docs/benchmarks/mutants.json holds what is known, docs/benchmarks/mutants.md
shows it. --page only rewrites the page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.mutants import page
from benchmarks.mutants.book import Book, Entry
from benchmarks.mutants.drawing import Mutant, draw
from benchmarks.mutants.rooms import ROOMS, Room
from benchmarks.mutants.trial import CHECKOUT, Verdict, changed, copied, load_libraries, tried

_NEAREST_LIMIT, _ROOM_LIMIT = 60, 300  # seconds of processor time


def main() -> None:
    """Tries what is left to try, as long as the time allows, and rewrites the page."""
    arguments = _parsed()
    if not arguments.page:
        os.nice(5)
        load_libraries()
        commit = _git("rev-parse", "HEAD")
        with copied(CHECKOUT, commit) as tree:
            _Run(tree, commit, arguments).whole()
    page.PAGE.write_text(page.of(page.FIGURES), encoding="utf-8")


class _Run:
    """One run over the mutants of a commit."""

    def __init__(self, tree: Path, commit: str, arguments: argparse.Namespace) -> None:
        self.tree, self._commit, self.only = tree, commit, arguments.only
        self.end = time.monotonic() + 60 * arguments.minutes
        self.rooms = {file: room for room in ROOMS.values() for file in room.files(tree)}
        drawn = draw(tree, sorted(self.rooms), arguments.count, arguments.seed)
        self.mutants = {mutant.key: mutant for mutant in drawn}
        about = {
            "seed": arguments.seed,
            "commit": commit,
            "date": datetime.now(UTC).date().isoformat(),
            "cosmic-ray": version("cosmic-ray"),
        }
        self.book = Book.opened(page.FIGURES, about)
        self.versions = {file: self._versions(file, room) for file, room in self.rooms.items()}
        self.book.bring_up_to_date(drawn, self.versions)
        self.book.write()
        self.sound: set[tuple[str, ...]] = set()
        """Tests that are known to pass on the code as it is."""

    def whole(self) -> None:
        """The nearest tests on every mutant, then all tests of the room on those that survived them."""
        # By their keys, which are hashes: wherever time ends, what was tried is a fair sample of all but the last.
        order = sorted(self.mutants, key=lambda key: (self._is_last(self.mutants[key].file), key))
        for whole in (False, True):
            for key in order:
                entry = self.book.entries[key]
                stands = entry.stands(self.versions[entry.file][1])
                due = entry.outcome == "survived" and not entry.whole if whole else not stands
                if due and self._wanted(entry):
                    self._try(entry, self.mutants[key], whole=whole)

    def _is_last(self, file: str) -> bool:
        return Path(file).stem in self.rooms[file].last

    def _wanted(self, entry: Entry) -> bool:
        return time.monotonic() < self.end and (self.only is None or self.only in entry.file)

    def _try(self, entry: Entry, mutant: Mutant, *, whole: bool) -> None:
        room, limit = self.rooms[entry.file], _ROOM_LIMIT if whole else _NEAREST_LIMIT
        tests = list(room.tests) if whole else room.nearest_tests(self.tree, entry.file) or list(room.tests)
        with changed(self.tree / entry.file, mutant.source):
            verdict = tried(self.tree, tests, room.without, limit)
        self._check(room, tests, verdict)
        self.book.note(entry, verdict, self.versions[entry.file][1], whole=whole)
        print(f"{verdict.outcome:9} {verdict.seconds:6.1f} s  {entry.file}:{entry.line}  {verdict.by}", flush=True)

    def _check(self, room: Room, tests: list[str], verdict: Verdict) -> None:
        """Tests that fail of themselves say nothing about mutants; those that a mutant survives do not."""
        if verdict.outcome != "survived" and tuple(tests) not in self.sound:
            unchanged = tried(self.tree, tests, room.without, _ROOM_LIMIT, bytecode=True)
            if unchanged.outcome != "survived":
                raise SystemExit(f"{' '.join(tests)}: {unchanged.outcome} on the unchanged code: {unchanged.by}")
        self.sound.add(tuple(tests))

    def _versions(self, file: str, room: Room) -> tuple[str, str]:
        commit = self._commit
        return _git("rev-parse", f"{commit}:{file}"), " ".join(
            _git("rev-parse", f"{commit}:{place}")[:12] for place in room.tests
        )


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.strip()


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120, help="no mutant is begun after them")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--count", type=int, default=400, help="mutants in all")
    parser.add_argument("--only", help="try only mutants of files whose path contains this text")
    parser.add_argument("--page", action="store_true", help="rewrite the page from the figures that are there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
