"""Compares two datasets: rows by id and pixels, and each recipe's figures side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hardset.pipeline.browse.query import check_readable, duckdb_library, tables
from hardset.pipeline.reporting.wording import recipe_details, recipe_title
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, RowCounts, Statistics, gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import ADVERSARIAL

STATES = ("added", "gone", "changed", "judged", "same")
"""States of a row: only in B; only in A; other pixels; same pixels, other label, prediction or success; no change."""
ALL_ATTACKS = "all attacks"

_ROWS = """
CREATE TEMP TABLE held AS
SELECT row_id, coalesce(b.op, a.op) AS op, coalesce(b.label, a.label) AS label,
       CASE WHEN a.image_sha256 IS NULL THEN 'added'
            WHEN b.image_sha256 IS NULL THEN 'gone'
            WHEN a.image_sha256 <> b.image_sha256 THEN 'changed'
            WHEN a.label IS DISTINCT FROM b.label OR a.pred IS DISTINCT FROM b.pred
                 OR a.success IS DISTINCT FROM b.success THEN 'judged'
            ELSE 'same' END AS state
FROM a FULL JOIN b USING (row_id)
"""
_EXAMPLES = "SELECT row_id, op, label FROM held WHERE state = ? ORDER BY row_id LIMIT ?"


@dataclass(frozen=True)
class RecipeFigures:
    """Figures of the rows of one recipe; shares in [0, 1], None if nothing was counted."""

    rows: int
    attacked: int
    success: float | None
    """Share of attacked rows that fool the model as stored."""
    clean_accuracy: float | None
    """Accuracy of the model on the clean rows. None if resisting rows were dropped."""
    accuracy: float | None
    """Accuracy of the model on the stored images. None if resisting rows were dropped."""


@dataclass(frozen=True)
class Line:
    """Figures of one recipe on both sides; None for a side that lacks it."""

    recipe: str
    details: str
    a: RecipeFigures | None
    b: RecipeFigures | None


@dataclass(frozen=True)
class Difference:
    """Differences between A and B."""

    rows: dict[str, int]
    """Number of rows by each of `STATES`."""
    examples: dict[str, list[dict[str, Any]]]
    """Row id, op and label of the first rows by id, for each state but the last."""
    recipes: list[Line]
    """Recipes in the order of A's job, then those only in B, then `ALL_ATTACKS` if there are several attacks."""

    @property
    def same(self) -> bool:
        """Whether both hold the same rows with the same verdicts."""
        return all(number == 0 for state, number in self.rows.items() if state != "same")


def compare(a: tuple[Folder, Manifest], b: tuple[Folder, Manifest], *, examples: int) -> Difference:
    """Compares the rows of two runs, and lists `examples` rows of each kind of change.

    Raises JobError if DuckDB is missing, RunError if a file cannot be read.
    """
    rows, named = _rows(a, b, examples)
    return Difference(rows, named, _lines(_gathered(*a), _gathered(*b)))


def _rows(
    a: tuple[Folder, Manifest], b: tuple[Folder, Manifest], examples: int
) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
    duckdb = duckdb_library()
    with tables(a=a, b=b) as connection:
        try:
            connection.execute(_ROWS)
        except duckdb.Error:
            check_readable(*a)
            check_readable(*b)
            raise
        found = dict(connection.execute("SELECT state, count(*) FROM held GROUP BY state").fetchall())
        named = {
            state: [
                {"row_id": row_id, "op": op, "label": label}
                for row_id, op, label in connection.execute(_EXAMPLES, [state, examples]).fetchall()
            ]
            for state in STATES
            if state != "same"
        }
    return {state: found.get(state, 0) for state in STATES}, named


def _gathered(folder: Folder, manifest: Manifest) -> Statistics:
    statistics = gather(folder, manifest)
    if statistics.unreadable:
        raise RunError(f"{folder.name}: {statistics.unreadable[0]}; `hardset verify` names every fault")
    return statistics


def _lines(a: Statistics, b: Statistics) -> list[Line]:
    left, right = _by_recipe(a), _by_recipe(b)
    names = sorted(dict.fromkeys((*left, *right)), key=lambda name: name[0] == ALL_ATTACKS)
    return [Line(*name, left.get(name), right.get(name)) for name in names]


def _by_recipe(statistics: Statistics) -> dict[tuple[str, str], RecipeFigures]:
    """Figures by recipe declaration, which does not change with the model's weights."""
    found = {
        (recipe_title(recipe.text), recipe_details(recipe.text)): _figures([recipe], statistics.only_successes)
        for recipe in statistics.recipes
    }
    if len(statistics.attacks) > 1:
        found[ALL_ATTACKS, ""] = _figures(statistics.attacks, statistics.only_successes)
    return found


def _figures(recipes: list[RecipeStatistics] | tuple[RecipeStatistics, ...], only_successes: bool) -> RecipeFigures:
    tally = sum((recipe.tally for recipe in recipes), RowCounts())
    counts = sum((recipe.counts for recipe in recipes), Counts())
    biased = only_successes and any(recipe.kind == ADVERSARIAL for recipe in recipes)
    return RecipeFigures(
        rows=tally.rows,
        attacked=counts.attacked,
        success=_share(counts.success, counts.attacked),
        clean_accuracy=None if biased else _share(tally.clean_right, tally.clean_judged),
        accuracy=None if biased else _share(tally.right, tally.judged),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
