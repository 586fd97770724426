"""Samples over a whole source: as many rows as asked for or as there are, each once, from all over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.sampling import sample
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource


def numbers_of_rows(rows: int, of: int, shard_rows: int) -> list[int]:
    """Row numbers that a sample of the first `of` digits holds."""
    reader: SourceReader = open_source(DigitsSource(limit=of))
    pixels, labels = sample(reader, reader.plan(shard_rows), reader.probe(), 10, rows)
    assert len(pixels) == len(labels)
    return [NUMBERS[row.tobytes()] for row in pixels]


def _numbers() -> dict[bytes, int]:
    reader = open_source(DigitsSource(limit=400))
    return {
        row.tobytes(): number
        for number, row in enumerate(
            np.concatenate([reader.read(part, reader.probe(), 10)[0].pixels for part in reader.plan(400)])
        )
    }


NUMBERS = _numbers()
"""Of 400 digits, which all differ, the row number by pixels."""


@pytest.mark.parametrize(("rows", "of"), [(256, 50), (50, 51), (50, 50), (10, 400), (1, 7)])
def test_no_row_comes_twice(rows: int, of: int) -> None:
    found = numbers_of_rows(rows, of, 2048)
    assert len(found) == len(set(found)) == min(rows, of)


@given(rows=st.integers(1, 300), of=st.integers(1, 300), shard_rows=st.integers(20, 300))
def test_each_row_once_and_as_many_as_asked_for(rows: int, of: int, shard_rows: int) -> None:
    found = numbers_of_rows(rows, of, shard_rows)
    assert found == sorted(set(found))
    assert len(found) == min(rows, of)


def test_the_places_lie_all_over_the_source() -> None:
    found = numbers_of_rows(16, 400, 2048)
    assert found == [number * 25 for number in range(16)]
