"""Chooses example rows deterministically, spread over recipes, classes and outcomes, and loads their clean rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.files.scan import ScannedRows, UnreadableFileError, rows_at
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest, Output
from hardset.schemas.rows.contract import ADVERSARIAL, GENERATED
from hardset.schemas.rows.success import attacked_rows

PER_RECIPE = 10
RESISTING = 3
"""Number of resisting rows among the examples of an attack."""

Image = NDArray[np.uint8]
"""Pixels, uint8, H x W x C."""

CleanPixels = Callable[[Output, dict[str, Any]], Image | None]
"""Function that returns the clean pixels of a made row; None if the source cannot be read or has changed."""


@dataclass(frozen=True)
class Example:
    """A stored row shown as an example."""

    row: dict[str, Any]
    """Columns of the row, without the image."""
    made: Image
    clean: Image | None
    """Clean pixels; None for generated rows, or if the source cannot be read."""


class Candidate(NamedTuple):
    """A row that may be chosen as an example."""

    row_id: str
    recipe_id: str
    label: int
    success: bool
    path: str
    position: int


class Candidates:
    """Keeps the row with the smallest id for every recipe, class and outcome; ids are hashes, so this is unbiased."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, int, bool], Candidate] = {}

    def watch(self, batch: ScannedRows) -> None:
        """Adds a batch of the statistics' columns. Rows misclassified before the attack are skipped."""
        columns = pa.table({name: batch.columns.column(name) for name in ("row_id", "recipe_id", "label", "success")})
        places = np.arange(batch.start, batch.start + len(columns))
        columns = columns.append_column("position", pa.array(places)).filter(_telling(batch.columns))
        keys = ["recipe_id", "label", "success"]
        smallest = columns.group_by(keys).aggregate([("row_id", "min")]).rename_columns([*keys, "row_id"])
        for row in smallest.join(columns.select(["row_id", "position"]), "row_id").to_pylist():
            self._offer(
                Candidate(
                    row["row_id"],
                    row["recipe_id"],
                    -1 if row["label"] is None else row["label"],
                    bool(row["success"]),
                    batch.path,
                    row["position"],
                )
            )

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

    def _offer(self, candidate: Candidate) -> None:
        key = (candidate.recipe_id, candidate.label, candidate.success)
        if key not in self._best or candidate < self._best[key]:
            self._best[key] = candidate


def _telling(rows: pa.RecordBatch) -> Any:
    return pc.or_(pc.not_equal(rows.column("kind"), ADVERSARIAL), attacked_rows(rows))


def spread(items: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most `most` of the items, evenly spaced, in order."""
    if len(items) <= most:
        return list(items)
    return [items[int(i * len(items) / most)] for i in range(most)]


def load(folder: Folder, manifest: Manifest, chosen: Sequence[Candidate], clean: CleanPixels) -> list[Example]:
    """Chosen rows with their images, in order. Rows of unreadable files are left out."""
    outputs = {output.data.path: output for output in manifest.outputs if output.data is not None}
    by_path: dict[str, list[int]] = defaultdict(list)
    for candidate in chosen:
        by_path[candidate.path].append(candidate.position)
    found: dict[str, Example] = {}
    for path, positions in by_path.items():
        output = outputs[path]
        assert output.data is not None
        try:
            rows = rows_at(folder, output.data, positions)
            for row in rows.values():
                found[row["row_id"]] = _example(row, output, clean)
        except (UnreadableFileError, ValueError):
            continue
    return [found[candidate.row_id] for candidate in chosen if candidate.row_id in found]


def _example(row: dict[str, Any], output: Output, clean: CleanPixels) -> Example:
    made = decode_png(row["image"]["bytes"])
    source = None if row["kind"] == GENERATED else clean(output, row)
    columns = {name: value for name, value in row.items() if name != "image"}
    return Example(columns, made, source)
