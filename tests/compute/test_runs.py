"""Runs of equal neighbours against a loop over them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.compute.runs import runs_of


@given(st.lists(st.integers(0, 2), max_size=20))
def test_every_item_has_the_first_of_its_run(items: list[int]) -> None:
    values = np.array(items, np.int64)
    equal = np.array([True, *(values[1:] == values[:-1])], bool)[: len(values)]
    first, run = runs_of(equal)
    np.testing.assert_array_equal(values[first][run] if len(values) else values, values)
    assert len(first) == sum(at == 0 or items[at] != items[at - 1] for at in range(len(items)))
    assert all(at in (0, *np.flatnonzero(~equal)) for at in first)
