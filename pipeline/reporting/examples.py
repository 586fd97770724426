"""Example rows of a report with their images, and the clean rows that they were made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.files.scan import UnreadableFileError, rows_at
from hardset.pipeline.reporting.candidates import Candidate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest, Output
from hardset.schemas.rows.contract import GENERATED

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
    mark: str = ""
    """Name of the row's mark out of `candidates.MARKS`; empty for a row without one."""


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
    return [replace(found[c.row_id], mark=c.mark) for c in chosen if c.row_id in found]


def _example(row: dict[str, Any], output: Output, clean: CleanPixels) -> Example:
    made = decode_png(row["image"]["bytes"])
    source = None if row["kind"] == GENERATED else clean(output, row)
    columns = {name: value for name, value in row.items() if name != "image"}
    return Example(columns, made, source)
