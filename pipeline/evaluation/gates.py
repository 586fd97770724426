"""Gates: minimum figures, absolute or relative to an earlier record. Pure functions.

A figure is a share in [0, 1] under a name such as `robust`. Gates do not depend on its origin, so that the same rule
applies to evaluations and to rounds of hardening.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hardset.schemas.errors import JobError

_GATE = re.compile(r"(?P<figure>[\w.:/ -]+)=(?P<least>\d*\.?\d+(?:[eE][+-]?\d+)?)(?P<percent>\s*%)?")


@dataclass(frozen=True)
class Gate:
    """A figure and its minimum."""

    figure: str
    least: float
    """Minimum value, in [0, 1]."""


def parse_gates(texts: Sequence[str], known: Sequence[str], option: str = "--fail-under") -> tuple[Gate, ...]:
    """Parses gates such as `robust=0.45` or `robust=45%`. `known`: the figures that will be available.

    Raises JobError for other texts, unknown figures and numbers outside [0, 1], before hours of work are spent.
    """
    return tuple(_parsed(text.strip(), known, option) for text in texts)


def _parsed(text: str, known: Sequence[str], option: str) -> Gate:
    found = _GATE.fullmatch(text)
    if found is None:
        raise JobError(f"{option} {text}: wants FIGURE=LEAST, such as {known[0]}=0.45")
    figure, least = found["figure"].strip(), float(found["least"]) / (100 if found["percent"] else 1)
    if figure not in known:
        raise JobError(f"{option} {text}: there is no figure {figure}; wants one of: {', '.join(known)}")
    if not 0 <= least <= 1:
        raise JobError(f"{option} {text}: got {least:g}; wants a share from 0 to 1, or a percentage")
    return Gate(figure, least)


def failures(figures: Mapping[str, float], gates: Sequence[Gate]) -> list[str]:
    """One sentence for each gate that its figure misses. Raises KeyError for a missing figure."""
    return [
        f"{gate.figure} is {_percent(figures[gate.figure])}, below the {_percent(gate.least)} that is asked for"
        for gate in gates
        if figures[gate.figure] < gate.least
    ]


def regressions(figures: Mapping[str, float], baseline: Mapping[str, float], tolerance: float) -> list[str]:
    """One sentence for each figure more than `tolerance`, a share in [0, 1], below the baseline's.

    Figures that only one side has are ignored. Raises JobError if both share none, since nothing was compared then.
    """
    shared = [name for name in baseline if name in figures]
    if not shared:
        raise JobError(
            f"--against: the baseline has none of the figures; it has {', '.join(baseline) or 'none'}, and here are "
            f"{', '.join(figures) or 'none'}"
        )
    return [
        f"{name} is {_percent(figures[name])}, and was {_percent(baseline[name])}: a fall of "
        f"{100 * (baseline[name] - figures[name]):.1f} points, where {100 * tolerance:g} are allowed"
        for name in shared
        # The billionth allows for rounding: differences of shares are not exact in binary.
        if baseline[name] - figures[name] > tolerance + 1e-9
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
