"""Libraries that hardset asks for, held against those that are installed: `python -m hardset.jobs.machine.needs`.

Standard library alone, so that it runs where the libraries are missing that it looks for. `packaging`, which compares
versions, comes with Ray; without it only what is missing is told.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Any

DISTRIBUTION = "hardset"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BAD = 2
"""Exit code where something is missing, as of a job that cannot be used."""


@dataclass(frozen=True)
class Unmet:
    """A library that is missing, or there in another version."""

    wanted: str
    """The requirement, such as `torch>=2.9,<3`."""
    found: str | None
    """The version that is there; None where there is none."""

    def __str__(self) -> str:
        return f"{self.wanted} ({'is not installed' if self.found is None else f'{self.found} is installed'})"


def extras(distribution: str = DISTRIBUTION) -> tuple[str, ...]:
    """Names of the extras of a distribution; none where it is not installed."""
    try:
        return tuple(metadata(distribution).get_all("Provides-Extra") or ())
    except PackageNotFoundError:
        return ()


def unmet(extra: str = "", distribution: str = DISTRIBUTION) -> list[Unmet]:
    """What a distribution asks for, for one of its extras or by itself, that is not there.

    Nothing where the distribution itself is not installed, so that nobody tells what it asks for.
    """
    return list(_unmet(distribution, extra, frozenset()))


def unmet_python(distribution: str = DISTRIBUTION) -> str | None:
    """The versions of Python that a distribution asks for, where this one is not among them."""
    try:
        wanted = (metadata(distribution).get_all("Requires-Python") or [None])[0]
        from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - it may be missing
    except (PackageNotFoundError, ImportError):
        return None
    return wanted if wanted and not SpecifierSet(wanted).contains(platform.python_version()) else None


def _unmet(distribution: str, extra: str, seen: frozenset[tuple[str, str]]) -> Iterator[Unmet]:
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return
    for line in lines:
        name, inner, there = _read(line, extra)
        if name is None:
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Unmet(_shown(line), None)
            continue
        if not there(found):
            yield Unmet(_shown(line), found)
        for one in inner:
            if (name, one) not in seen:
                yield from _unmet(name, one, seen | {(name, one)})


def _read(line: str, extra: str) -> tuple[str | None, set[str], Any]:
    """Name, extras and test of versions of a requirement; no name where it is not for this extra or this platform."""
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415 - it may be missing
    except ImportError:
        found = _NAME.match(line)
        return (None if found is None or "extra" in line or extra else found[0]), set(), lambda _: True
    one = Requirement(line)
    marker = str(one.marker or "")
    if (extra != "") != ("extra" in marker) or (one.marker and not one.marker.evaluate({"extra": extra})):
        return None, set(), None
    return one.name, one.extras, lambda found: one.specifier.contains(found, prereleases=True)


def _shown(line: str) -> str:
    return line.partition(";")[0].strip()


def main() -> int:
    """Says in one JSON line, as of a job that failed, what is missing; 0 where nothing is."""
    wants = unmet_python()
    wrong = [f"Python {wants} ({platform.python_version()} is at work)"] if wants else []
    wrong += [str(one) for one in unmet()]
    if not wrong:
        return 0
    error = (
        f"the cluster's interpreter {sys.executable} lacks what hardset needs: {', '.join(wrong)}; install it there, "
        "or start Ray from an environment that has it"
    )
    print(json.dumps({"status": "failed", "error": error, "exit_code": _BAD}, separators=(",", ":")))
    return _BAD


if __name__ == "__main__":
    sys.exit(main())
