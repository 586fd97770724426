"""Chooses example rows while a dataset is read once: spread over classes and outcomes, and those that teach most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardset.pipeline.dataset.files.scan import ScannedRows
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.success import attacked_rows

PER_RECIPE = 10
"""Maximum number of rows per recipe that are spread over classes and outcomes."""
RESISTING = 3
"""Number of resisting rows among the examples of an attack."""


class Candidate(NamedTuple):
    """A row that may be chosen as an example."""

    row_id: str
    recipe_id: str
    label: int
    success: bool
    path: str
    position: int
    mark: str = ""
    """What makes the row worth a look, a name out of `MARKS`; empty for rows chosen for their class alone."""


@dataclass(frozen=True)
class Mark:
    """A property that one row of a recipe has most of."""

    name: str
    attack: str
    """Meaning for the rows of an attack, in words."""
    other: str
    """Meaning for augmented and generated rows that the model has judged."""


MARKS = (
    Mark("Easiest", "fooled the model with the smallest change", "read rightly with the widest margin"),
    Mark("Hardest", "the attack left it the widest margin", "read rightly with the narrowest margin"),
    Mark("Most confident error", "misread with the highest confidence", "misread with the highest confidence"),
)
"""Marks in the order in which their rows are shown."""


class Candidates:
    """Keeps, for every recipe, the row with the smallest id of each class and outcome, and the row of each mark.

    Ids are hashes, so the smallest is an unbiased choice; neither depends on the order of the rows or on sharding.
    """

    def __init__(self) -> None:
        self._best: dict[tuple[str, int, bool], Candidate] = {}
        self._marked: dict[tuple[str, str], tuple[float, Candidate]] = {}

    def watch(self, batch: ScannedRows) -> None:
        """Adds a batch of the statistics' columns. Rows misclassified before the attack are skipped."""
        names = ("row_id", "recipe_id", "label", "success", "kind", "pred", "margin", "confidence", "l2")
        columns = pa.table({name: batch.columns.column(name) for name in names})
        places = np.arange(batch.start, batch.start + len(columns))
        columns = columns.append_column("position", pa.array(places)).filter(_telling(batch.columns))
        keys = ["recipe_id", "label", "success"]
        smallest = columns.group_by(keys).aggregate([("row_id", "min")]).rename_columns([*keys, "row_id"])
        for row in smallest.join(columns.select(["row_id", "position"]), "row_id").to_pylist():
            self._offer(_candidate(row, batch.path))
        for recipe in pc.unique(columns.column("recipe_id")).to_pylist():
            mine = columns.filter(pc.equal(columns.column("recipe_id"), recipe))
            for name, best, row in _extremes(mine):
                self._offer_mark(best, _candidate(row, batch.path)._replace(mark=name))

    def chosen(self, recipe_id: str, most: int = PER_RECIPE) -> list[Candidate]:
        """At most `most` rows of a recipe by class: some resisting rows, if there are any, and the rest successes."""
        mine = [c for (recipe, _, _), c in sorted(self._best.items()) if recipe == recipe_id]
        fallen, standing = [c for c in mine if c.success], [c for c in mine if not c.success]
        kept = min(len(standing), max(RESISTING, most - len(fallen)))
        few = spread(standing, min(kept, most))
        taken = {c.label for c in few}
        others = sorted(fallen, key=lambda c: (c.label in taken, c.label))
        fresh = [c for c in others if c.label not in taken]
        wanted = most - len(few)
        rest = spread(fresh, wanted) if len(fresh) >= wanted else others[:wanted]
        return sorted([*few, *rest], key=lambda c: (not c.success, c.label))

    def marked(self, recipe_id: str) -> list[Candidate]:
        """Rows of a recipe that bear a mark, in the order of `MARKS`; a row that would bear two is listed once."""
        found: dict[str, Candidate] = {}
        for mark in MARKS:
            _, candidate = self._marked.get((recipe_id, mark.name), (0.0, None))
            if candidate is not None:
                found.setdefault(candidate.row_id, candidate)
        return list(found.values())

    def to_show(self, recipe_id: str, most: int) -> list[Candidate]:
        """At most `most` rows of a recipe: the marked ones, then those spread over the classes."""
        first = self.marked(recipe_id)[:most]
        seen = {candidate.row_id for candidate in first}
        rest = self.chosen(recipe_id, min(PER_RECIPE, most - len(first)))
        return [*first, *(candidate for candidate in rest if candidate.row_id not in seen)]

    def _offer(self, candidate: Candidate) -> None:
        key = (candidate.recipe_id, candidate.label, candidate.success)
        if key not in self._best or candidate < self._best[key]:
            self._best[key] = candidate

    def _offer_mark(self, best: float, candidate: Candidate) -> None:
        key = (candidate.recipe_id, candidate.mark)
        if key not in self._marked or (best, candidate) < self._marked[key]:
            self._marked[key] = (best, candidate)


def spread(items: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most `most` of the items, evenly spaced, in order."""
    if len(items) <= most:
        return list(items)
    return [items[int(i * len(items) / most)] for i in range(most)]


def _candidate(row: dict[str, Any], path: str) -> Candidate:
    label = -1 if row["label"] is None else row["label"]
    return Candidate(row["row_id"], row["recipe_id"], label, bool(row["success"]), path, row["position"])


def _telling(rows: pa.RecordBatch) -> Any:
    return pc.or_(pc.not_equal(rows.column("kind"), ADVERSARIAL), attacked_rows(rows))


def _extremes(rows: pa.Table) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """The best row of each mark: its name, the value (smaller is better) and the row. `rows`: of one recipe."""
    kind = rows.column("kind")[0].as_py()
    for name, (mask, column, sign) in (_ATTACK if kind == ADVERSARIAL else _OTHER).items():
        mine = rows.filter(pc.and_(mask(rows).fill_null(False), pc.is_finite(rows.column(column)).fill_null(False)))
        if not len(mine):
            continue
        values = sign * mine.column(column).to_numpy().astype(np.float64)
        equal = mine.filter(pa.array(values == values.min())).select(["row_id", "recipe_id", *_PLACED])
        yield name, float(values.min()), min(equal.to_pylist(), key=lambda row: str(row["row_id"]))


_PLACED = ("label", "success", "position")
_Mask = Callable[[pa.Table], Any]


def _fallen(rows: pa.Table) -> Any:
    return rows.column("success")


def _standing(rows: pa.Table) -> Any:
    return pc.invert(rows.column("success"))


def _right(rows: pa.Table) -> Any:
    return pc.equal(rows.column("pred"), rows.column("label"))


def _wrong(rows: pa.Table) -> Any:
    return pc.not_equal(rows.column("pred"), rows.column("label"))


_ATTACK: dict[str, tuple[_Mask, str, int]] = {
    "Easiest": (_fallen, "l2", 1),
    "Hardest": (_standing, "margin", -1),
    "Most confident error": (_fallen, "confidence", -1),
}
"""Rows that may bear a mark, the column that decides, and its sign; attacks."""
_OTHER: dict[str, tuple[_Mask, str, int]] = {
    "Easiest": (_right, "margin", -1),
    "Hardest": (_right, "margin", 1),
    "Most confident error": (_wrong, "confidence", -1),
}
