"""Conditions on stored rows, which spare whole row groups where their statistics allow it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from hardset.pipeline.loading.order import Indices
from hardset.schemas.errors import JobError, one_line

Filters: TypeAlias = Any
"""A pyarrow expression, or tuples `(column, operator, value)`, as pyarrow and pandas take them: all of a list, any of
the lists of a list."""
_NUMBER = "__number"


class Condition:
    """A condition on rows, and the columns that it looks at."""

    def __init__(self, filters: Filters, columns: Sequence[str]) -> None:
        """`columns`: those that rows have. Raises JobError where `filters` is no condition on them."""
        try:
            self.expression = filters if isinstance(filters, pc.Expression) else pq.filters_to_expression(filters)
        except (ValueError, TypeError, AttributeError) as error:
            raise JobError(f"filters: {error}; wants such as [('success', '=', True)]") from None
        named = list(columns) if isinstance(filters, pc.Expression) else sorted(set(_named(filters)))
        if unknown := [name for name in named if name not in columns]:
            raise JobError(f"filters: no column {', '.join(unknown)}; there are {', '.join(columns)}")
        self.columns = [name for name in named if name != "image"]

    def groups(self, file: Any, count: int) -> list[int]:
        """Row groups of a Parquet file that may hold such a row, by the statistics in its footer."""
        fragment = ds.ParquetFileFormat().make_fragment(file)
        try:
            return [
                one.id for one in fragment.subset(filter=self.expression, schema=fragment.physical_schema).row_groups
            ]
        except pa.ArrowException:  # such as a column that came with a later row contract: rows are looked at
            return list(range(count))

    def places(self, rows: pa.Table) -> Indices:
        """Positions of the rows that meet the condition. Raises JobError where it does not fit their types."""
        numbered = rows.append_column(_NUMBER, pa.array(np.arange(len(rows), dtype=np.int64)))
        try:
            found: Indices = numbered.filter(self.expression)[_NUMBER].to_numpy()
        except (pa.ArrowException, TypeError) as error:
            raise JobError(f"filters: {one_line(error)}") from None
        return found


def _named(filters: Iterable[Any]) -> Iterable[str]:
    for one in filters:
        if len(one) == 3 and isinstance(one[0], str) and isinstance(one[1], str):
            yield one[0]
        else:
            yield from _named(one)
