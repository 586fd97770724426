"""Stored columns as arrays without gaps, which any collation takes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardset.pipeline.loading.parts import EMPTY, Values


def values_of(column: pa.ChunkedArray) -> Values:
    """Values of a column (N,): int64, float32 or float64, bool, or text as objects.

    Empty ones are -1, NaN, False and "". Dates and times are ISO 8601 text.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        return np.asarray(pc.fill_null(column, False).to_numpy(), np.bool_)
    if pa.types.is_integer(kind):
        return np.asarray(pc.fill_null(column, EMPTY["i"]).to_numpy(), np.int64)
    if pa.types.is_floating(kind):
        return np.asarray(pc.fill_null(column, EMPTY["f"]).to_numpy())
    texts = [EMPTY["O"] if value is None else _text(value) for value in column.to_pylist()]
    return np.array([*texts, None], object)[:-1]  # numpy makes an array of objects of one text apart from the others


def _text(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "isoformat", value.__str__)()
