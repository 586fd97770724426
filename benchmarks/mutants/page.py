"""The page of the figures: what was killed, by file, and each survivor with its reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from benchmarks.mutants.rooms import ROOMS
from scipy.stats import binomtest

_DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
FIGURES, PAGE = _DOCS / "mutants.json", _DOCS / "mutants.md"
REASONS = Path(__file__).with_name("reasons.yaml")
"""Of each survivor's key, why it survives."""
ASKED = 0.85
"""Lower bound of the killed share."""

_HEAD = """# Mutants

What the tests notice: the code is changed in drawn places, one at a time, and the tests of its room are run until one
fails. A change that none notices survives. `make mutants`; JSON in [mutants.json](mutants.json). Figures and page are
written by the program.

* Changes are those of [cosmic-ray](https://cosmic-ray.readthedocs.io): other operators, other comparisons, numbers one
  higher or lower, conditions turned around, loops that do nothing, missing decorators, other exceptions. Arithmetic
  never becomes bits: that raises on floats, and any call would notice it.
* Not drawn: annotations, which nothing evaluates, the asterisk before keyword-only parameters, and changes after which
  the file does not compile or is the same program. Text is not changed: docstrings, messages, logs.
* Places are drawn by a hash of the seed and their text, each file's share being that of its places, two at least.
* Tests that a room's mutants do not meet, for their time: {without}.
* A change whose tests ran out of time counts as not killed.
* Tried last, as their tests start Ray: {last}. All others are tried in drawn order, so that wherever time ended the
  tried ones are a fair sample of them.
* Tests that are written for the survivors of a draw lift its share beyond that of changes in general. Another `--seed`
  measures anew.
"""


def of(figures: Path) -> str:
    """The page."""
    told = json.loads(figures.read_text(encoding="utf-8"))
    about, mutants = told["about"], told["mutants"]
    reasons = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or {}
    without = "; ".join(f"{name}: `{room.without}`" for name, room in ROOMS.items() if room.without)
    last = ", ".join(f"`{stem}`" for room in ROOMS.values() for stem in sorted(room.last))
    parts = [_HEAD.format(without=without, last=last), _summary(about, mutants), _table(mutants)]
    survivors = [mutant for mutant in mutants if mutant["outcome"] in ("survived", "timed out")]
    parts += ["## Survivors\n", *(_survivor(mutant, reasons.get(mutant["key"])) for mutant in _ordered(survivors))]
    return "\n".join(parts)


def killed_share(mutants: Iterable[dict[str, Any]]) -> tuple[int, int, float]:
    """Mutants killed, mutants tried, and the 95 % lower bound of the share (Clopper and Pearson, one-sided)."""
    count = Counter(mutant["outcome"] for mutant in mutants)
    tried = count.total() - count["not run"]
    if not tried:
        return 0, 0, 0.0
    bound = binomtest(count["killed"], tried, alternative="greater").proportion_ci(0.95, method="exact").low
    return count["killed"], tried, float(bound)


def _summary(about: dict[str, Any], mutants: list[dict[str, Any]]) -> str:
    killed, tried, bound = killed_share(mutants)
    verdict = "holds" if bound >= ASKED else "does not hold"
    late = sum(mutant["outcome"] == "timed out" for mutant in mutants)
    return (
        f"Of {len(mutants)} mutants drawn (seed {about['seed']}), {tried} were tried and {killed} killed,"
        f" {killed / max(tried, 1):.1%}; {late} ran out of time. With 95 % confidence at least {bound:.1%} of all such"
        f" changes are noticed; asked is {ASKED:.0%}, which {verdict}."
        f" cosmic-ray {about['cosmic-ray']}, {about['date']}.\n"
    )


def _table(mutants: list[dict[str, Any]]) -> str:
    lines = ["| file | drawn | tried | killed | survived | timed out |", "|---|--:|--:|--:|--:|--:|"]
    for file in sorted({mutant["file"] for mutant in mutants}):
        lines.append(_line(f"`{file}`", [mutant for mutant in mutants if mutant["file"] == file]))
    for name, room in ROOMS.items():
        own = [mutant for mutant in mutants if mutant["file"].rpartition("/")[0] == room.folder]
        lines.append(_line(f"**{name}**", own))
    return "\n".join([*lines, _line("**all**", mutants)]) + "\n"


def _line(name: str, mutants: list[dict[str, Any]]) -> str:
    count = Counter(mutant["outcome"] for mutant in mutants)
    numbers = (count.total(), count.total() - count["not run"], count["killed"], count["survived"], count["timed out"])
    return f"| {name} | " + " | ".join(map(str, numbers)) + " |"


def _survivor(mutant: dict[str, Any], reason: str | None) -> str:
    where = f"`{mutant['file']}`, {mutant['definition'] or 'module level'}"
    met = "all tests of the room" if mutant["whole"] else "the nearest tests"
    told = reason or f"{mutant['outcome'].capitalize()} {met}; no reason is known yet."
    return f"* {mutant['key']}, {where}: {told}\n\n{_indented(mutant['diff'])}\n"


def _indented(diff: str) -> str:
    return "\n".join(["  ```diff", *(f"  {line}" for line in diff.splitlines()), "  ```"])


def _ordered(mutants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(mutants, key=lambda mutant: (mutant["file"], mutant["line"], mutant["key"]))
