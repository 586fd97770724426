"""Statistics of a dataset by recipe: one pass over a few columns, in memory that does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardset.pipeline.dataset.files.scan import ScannedRows, UnreadableFileError, batches, quarantine_records
from hardset.pipeline.statistics.attack_tallies import Confusion, Tally, by_budget, by_part, confused, parts_of
from hardset.pipeline.statistics.histogram import Histogram
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.recipe_texts import agrees
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Output
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.success import attacked_rows

COLUMNS = (
    *("row_id", "recipe_id", "kind", "op", "norm", "label", "target_label", "clean_pred", "pred", "success"),
    *("variant", "clean_margin", "margin", "linf_levels", "l1", "l2", "eps", "steps", "confidence"),
)
"""Columns that statistics and examples are computed from; never the images."""

FIRST_ROWS = 3
"""Maximum number of rows that are told of each reason for quarantine."""


@dataclass(frozen=True)
class RowCounts:
    """Numbers of rows."""

    rows: int = 0
    attacked: int = 0
    """Adversarial rows over which success is counted: correct clean prediction, or a target that is not the label."""
    success: int = 0
    clean_judged: int = 0
    """Clean rows with a prediction, each counted once however many rows were made from it."""
    clean_right: int = 0
    judged: int = 0
    """Rows with a prediction on the stored image."""
    right: int = 0
    """Rows predicted as labelled, among those with a prediction."""

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(*(getattr(self, name) + getattr(other, name) for name in _MEASURES))

    @property
    def success_rate(self) -> float | None:
        """Share of attacked rows that fool the model; None if no row was attacked."""
        return self.success / self.attacked if self.attacked else None


_MEASURES = tuple(RowCounts.__dataclass_fields__)


@dataclass(frozen=True)
class RecipeStatistics:
    """Statistics of the rows of one recipe."""

    position: int
    """Position in the job's recipes."""
    recipe_id: str
    text: dict[str, Any]
    """The resolved recipe."""
    counts: Counts
    """Counts from the manifest, which include dropped and quarantined rows."""
    kind: str = ""
    """Kind of the rows; empty if there are none."""
    op: str = ""
    norm: str | None = None
    by_class: tuple[RowCounts, ...] = ()
    """Counts by class; the last entry is for rows without a known class."""
    clean_margins: Histogram = field(default_factory=Histogram)
    """Margins of the clean rows, in logits."""
    margins: Histogram = field(default_factory=Histogram)
    """Margins of the stored images, in logits."""
    linf_levels: Histogram = field(default_factory=Histogram.of_whole_numbers)
    l2: Histogram = field(default_factory=Histogram)
    """L2 norms of the changes on the [0, 1] pixel scale."""
    l1: Histogram = field(default_factory=Histogram)
    """L1 norms of the changes on the [0, 1] pixel scale."""
    steps: Histogram = field(default_factory=Histogram.of_whole_numbers)
    eps: tuple[float, float] | None = None
    """Smallest and largest budget of the rows, on the [0, 1] pixel scale."""
    by_budget: tuple[Tally, ...] = ()
    """Numbers of (attacked rows, successes) at each of `budgets`."""
    by_part: tuple[Tally, ...] = ()
    """The same for each part of a range of budgets, between neighbours of `parts`."""
    confusion: Confusion = field(default_factory=dict)

    @property
    def budgets(self) -> tuple[str, ...]:
        """Budgets of an attack that makes one row per budget, smallest first; empty for other recipes."""
        eps = self.text.get("eps")
        return tuple(eps) if isinstance(eps, list | tuple) else ()

    @property
    def parts(self) -> tuple[float, ...]:
        """Edges of the parts of a range that the rows' budgets are drawn from; empty for other recipes."""
        return parts_of(self.text.get("eps"), str(self.text.get("norm")))

    @property
    def tally(self) -> RowCounts:
        """Counts summed over all classes."""
        return sum(self.by_class, RowCounts())

    @property
    def targeted(self) -> bool:
        """Whether the recipe is a targeted attack."""
        return self.text.get("target") is not None


@dataclass(frozen=True)
class Reason:
    """A reason for quarantine, and the rows that it concerns."""

    stage: str
    error_class: str
    rows: int
    message: str
    """Error message of the first such row."""
    source_key: str
    """Source key of the first such row."""
    first: tuple[tuple[Output, Mapping[str, Any]], ...] = ()
    """The first such rows: the shard that each belongs to, and its record in quarantine."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of a run."""

    manifest: Manifest
    recipes: tuple[RecipeStatistics, ...]
    quarantine: tuple[Reason, ...]
    """Reasons for quarantine, most frequent first."""
    unreadable: tuple[str, ...]
    """Files of the manifest that could not be read and are not counted, each with the reason."""

    @property
    def kinds(self) -> dict[str, int]:
        """Number of stored rows by kind."""
        counts: Counter[str] = Counter()
        for recipe in self.recipes:
            counts[recipe.kind] += recipe.tally.rows
        return {kind: rows for kind, rows in counts.items() if rows}

    @property
    def attacks(self) -> tuple[RecipeStatistics, ...]:
        """Recipes that made adversarial rows."""
        return tuple(recipe for recipe in self.recipes if recipe.kind == ADVERSARIAL)

    @property
    def only_successes(self) -> bool:
        """Whether resisting rows were dropped, so that rates cannot be computed from the rows."""
        return bool(self.manifest.job.get("output", {}).get("keep") == "success")


def gather(folder: Folder, manifest: Manifest, watch: Callable[[ScannedRows], None] | None = None) -> Statistics:
    """Reads the files of a run once. `watch` is called with every batch of `COLUMNS`."""
    made = {recipe.recipe_id: recipe for recipe in declared(manifest)}
    unreadable: list[str] = []
    for output in manifest.outputs:
        if output.data is None:
            continue
        try:
            for batch in batches(folder, output.data, COLUMNS):
                _count(made, batch.columns, len(manifest.classes))
                if watch:
                    watch(batch)
        except UnreadableFileError as error:
            unreadable.append(str(error))
    reasons = _quarantine(folder, manifest.outputs, unreadable)
    return Statistics(manifest, tuple(made.values()), reasons, tuple(unreadable))


def declared(manifest: Manifest) -> list[RecipeStatistics]:
    """The job's recipes in order, with the manifest's counts but no rows yet."""
    left = dict(manifest.recipes)
    found = []
    for position, declaration in enumerate(manifest.job.get("recipes", ())):
        generator = manifest.models.get(f"generator:{position}")
        fitting = (name for name, text in left.items() if _declares(declaration, text, generator))
        name = next(fitting, None)
        if name is not None:
            counts = sum((o.counts for o in manifest.outputs if o.recipe == position), Counts())
            found.append(RecipeStatistics(position, name, left.pop(name), counts))
    return found


def _declares(declaration: dict[str, Any], text: dict[str, Any], generator: str | None) -> bool:
    """Whether a recipe text, which also holds digests and code versions, resolves a job's declaration."""
    if text.get("generator") != generator:
        return False
    return agrees({key: value for key, value in declaration.items() if key != "generator"}, text)


def _count(made: dict[str, RecipeStatistics], rows: pa.RecordBatch, classes: int) -> None:
    for name in pc.unique(rows.column("recipe_id")).to_pylist():
        mine = rows.filter(pc.equal(rows.column("recipe_id"), name))
        if name in made:
            made[name] = _with_rows(made[name], mine, classes)


def _with_rows(recipe: RecipeStatistics, rows: pa.RecordBatch, classes: int) -> RecipeStatistics:
    tallies = _tallies(rows, classes)
    before = recipe.by_class or (RowCounts(),) * (classes + 1)
    eps = _present(rows, "eps")
    low, high = recipe.eps or (np.inf, -np.inf)
    return replace(
        recipe,
        kind=rows.column("kind")[0].as_py(),
        op=rows.column("op")[0].as_py(),
        norm=rows.column("norm")[0].as_py(),
        by_class=tuple(one + other for one, other in zip(before, tallies, strict=True)),
        clean_margins=recipe.clean_margins.add(_present(rows, "clean_margin")),
        margins=recipe.margins.add(_present(rows, "margin")),
        linf_levels=recipe.linf_levels.add(_present(rows, "linf_levels")),
        l2=recipe.l2.add(_present(rows, "l2")),
        l1=recipe.l1.add(_present(rows, "l1")),
        steps=recipe.steps.add(_present(rows, "steps")),
        by_budget=by_budget(recipe.by_budget, rows, len(recipe.budgets)),
        by_part=by_part(recipe.by_part, rows, recipe.parts) if recipe.parts else (),
        confusion=confused(recipe.confusion, rows),
        eps=(min(low, float(eps.min())), max(high, float(eps.max()))) if len(eps) else recipe.eps,
    )


def _present(rows: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    values = rows.column(name).drop_null().to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def _tallies(rows: pa.RecordBatch, classes: int) -> list[RowCounts]:
    label = rows.column("label")
    success, clean, pred = (rows.column(name) for name in ("success", "clean_pred", "pred"))
    counted = attacked_rows(rows)
    first = pc.equal(rows.column("variant"), 0)
    measures = (
        pc.is_valid(rows.column("row_id")),
        counted,
        pc.and_(counted, pc.fill_null(success, False)),
        pc.and_(first, pc.is_valid(clean)),
        pc.and_(first, pc.equal(clean, label)),
        pc.is_valid(pred),
        pc.equal(pred, label),
    )
    place = pc.fill_null(label, classes).to_numpy()
    place = np.where((place < 0) | (place > classes), classes, place)
    columns = [
        np.bincount(place[pc.fill_null(measure, False).to_numpy(zero_copy_only=False)], minlength=classes + 1)
        for measure in measures
    ]
    return [RowCounts(*map(int, counts)) for counts in zip(*columns, strict=True)]


def _quarantine(folder: Folder, outputs: tuple[Output, ...], unreadable: list[str]) -> tuple[Reason, ...]:
    found: dict[tuple[str, str], Reason] = {}
    for output in outputs:
        if output.quarantine is None:
            continue
        try:
            for row in quarantine_records(folder, output.quarantine):
                key = (row["stage"] or "", row["error_class"] or "")
                known = found.get(key) or Reason(*key, 0, row["message"] or "", row["source_key"] or "")
                first = (*known.first, (output, row)) if len(known.first) < FIRST_ROWS else known.first
                found[key] = replace(known, rows=known.rows + 1, first=first)
        except UnreadableFileError as error:
            unreadable.append(str(error))
    return tuple(sorted(found.values(), key=lambda reason: (-reason.rows, reason.stage, reason.error_class)))
