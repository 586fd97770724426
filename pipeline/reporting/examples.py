"""Example rows: chosen the same way every time, spread over recipes, classes and outcomes, with their clean rows."""

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
from hardset.pipeline.statistics.recipe_statistics import attacked
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest, Output
from hardset.schemas.rows.contract import ADVERSARIAL, GENERATED

PER_RECIPE = 10
RESISTING = 3
"""Of the examples of an attack, how many shall be rows that resist it."""

Image = NDArray[np.uint8]
"""uint8, H x W x C."""

CleanPixels = Callable[[Output, dict[str, Any]], Image | None]
"""Gives the clean pixels of a made row; None where the source cannot be read or has changed."""


@dataclass(frozen=True)
class Example:
    """A stored row to show."""

    row: dict[str, Any]
    """Its columns, the image aside."""
    made: Image
    clean: Image | None
    """None for generated rows, and where the source cannot be reached."""


class Candidate(NamedTuple):
    """A row that may be shown."""

    row_id: str
    recipe_id: str
    label: int
    success: bool
    path: str
    position: int


class Candidates:
    """Keeps of every recipe, class and outcome the row with the smallest id. Ids are hashes, so that is a fair draw."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, int, bool], Candidate] = {}

    def watch(self, batch: ScannedRows) -> None:
        """Takes in a batch of the statistics' columns. Rows misread already before the attack are passed over."""
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
        """At most `most` rows of a recipe by class: some that resist, if any do, and the rest that succeed."""
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
    return pc.or_(pc.not_equal(rows.column("kind"), ADVERSARIAL), attacked(rows))


def spread(items: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most `most` of the items, evenly spaced and in their order."""
    if len(items) <= most:
        return list(items)
    return [items[int(i * len(items) / most)] for i in range(most)]


def load(folder: Folder, manifest: Manifest, chosen: Sequence[Candidate], clean: CleanPixels) -> list[Example]:
    """The chosen rows with their images, in their order. Rows of unreadable files are left out."""
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
