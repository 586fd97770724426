"""Notices that a reader of a report must know before trusting its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hardset.pipeline.reporting.wording import amount, clipped, counted, number
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, Statistics

_RAISE = "Raise eps to 1/255 or more."


@dataclass(frozen=True)
class Notice:
    """One or two sentences. Warnings concern missing rows or budgets that cannot work."""

    text: str
    warning: bool = False
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""
    about: str = ""
    """Name of what it is about; empty for the run as a whole."""


def notices(statistics: Statistics) -> list[Notice]:
    """Warnings first, then notes."""
    found = [*_lost(statistics), *_unread(statistics), *_budgets(statistics), *_outcomes(statistics)]
    return sorted(found, key=lambda notice: not notice.warning)


def _lost(statistics: Statistics) -> Iterator[Notice]:
    manifest = statistics.manifest
    if manifest.status != "complete":
        failed = counted(len(manifest.failures), "shard")
        yield Notice(
            f"The run is incomplete: {failed} failed, and their rows are missing from all figures.",
            True,
            "Read the errors under Rows that are missing, and start the same command again: it makes what is missing.",
        )
    if manifest.totals.quarantined:
        rows = counted(manifest.totals.quarantined, "row")
        yield Notice(
            f"{rows} could not be made and went to quarantine.",
            True,
            "Look at the reasons under Rows that are missing; mend the rows in the source, and run again.",
        )
    if manifest.totals.dropped:
        rows = counted(manifest.totals.dropped, "resisting row")
        yield Notice(f"{rows} left out, because the job keeps successes only.")


def _unread(statistics: Statistics) -> Iterator[Notice]:
    for reason in statistics.unreadable[:5]:
        yield Notice(
            f"A file cannot be read and is not counted below: {clipped(reason, 300)}.",
            True,
            "Restore the file from a copy, or run generate again, which makes its shard anew.",
        )
    if len(statistics.unreadable) > 5:
        yield Notice(f"{len(statistics.unreadable) - 5:,} further files cannot be read.", True)
    stored, listed = sum(statistics.kinds.values()), statistics.manifest.totals.rows_out
    if stored != listed and not statistics.unreadable:
        yield Notice(
            f"The files hold {counted(stored, 'row')}, the manifest lists {listed:,}.",
            True,
            "Run hardset verify, which names the files that differ.",
        )


def _budgets(statistics: Statistics) -> Iterator[Notice]:
    for recipe in statistics.recipes:
        if recipe.text.get("kind") == "attack" and recipe.text.get("norm") == "linf":
            found = _whole_levels(recipe.position, recipe.text["eps"])
            # The warnings of a run have their own section, which covers budgets below one level.
            yield from (notice for notice in found if not (notice.warning and statistics.manifest.warnings))


def _whole_levels(position: int, eps: Any) -> Iterator[Notice]:
    if isinstance(eps, dict):
        low, high = eps["min"], eps["max"]
    else:
        low, high = (min(eps, key=Fraction), max(eps, key=Fraction)) if isinstance(eps, list | tuple) else (eps, eps)
    levels = Fraction(str(low)) * 255
    which = f"Recipe {position + 1}: eps {amount(eps)}"
    if Fraction(str(high)) * 255 < 1:
        yield Notice(f"{which} is less than one 8-bit level, so no pixel can change.", True, _RAISE)
    elif levels < 1 and low != high:
        yield Notice(f"{which} starts below one 8-bit level; rows with such a budget cannot change.", True, _RAISE)
    elif levels.denominator != 1 and low == high:
        whole = levels.numerator // levels.denominator
        yield Notice(f"{which} is {number(float(levels))} levels of 8 bits; stored pixels change by {whole} at most.")


def _outcomes(statistics: Statistics) -> Iterator[Notice]:
    for recipe in statistics.attacks:
        if _judged_wrong(recipe):
            yield Notice(
                f"Recipe {recipe.position + 1}: the model errs on every clean row, so no attack can count.",
                True,
                "Hold model.input (channels, range, normalisation) and the order of the classes against how the model "
                "was trained.",
            )
        elif recipe.counts.attacked and not recipe.counts.success:
            yield Notice(
                f"Recipe {recipe.position + 1}: no row fools the model.",
                remedy="Raise eps or steps; if that fools none either, look for masked gradients with recipe square.",
            )


def _judged_wrong(recipe: RecipeStatistics) -> bool:
    return bool(recipe.tally.clean_judged) and not recipe.counts.attacked and not recipe.targeted
