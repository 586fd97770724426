"""Histograms whose bins depend on the values alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.statistics.histogram import MOST_BINS, Histogram

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=60)


def of(values: list[float]) -> Histogram:
    return Histogram().add(np.array(values))


@given(VALUES, st.randoms(), st.integers(0, 60))
def test_order_and_batches_do_not_matter(values, random, cut):
    shuffled = random.sample(values, len(values))
    parts = Histogram().add(np.array(shuffled[:cut])).add(np.array(shuffled[cut:]))
    assert parts == of(values)


@given(VALUES, VALUES)
def test_merging_is_adding(left, right):
    assert of(left).merged(of(right)) == of(left + right) == of(right).merged(of(left))


@given(VALUES)
def test_bins_count_what_lies_in_them(values):
    histogram = of(values)
    for number in histogram.bins:
        start = math.ldexp(number, histogram.exponent)
        inside = [value for value in values if start <= value < start + histogram.width]
        assert len(inside) == histogram.bins[number] > 0
    assert len(histogram) == len(values)
    assert not values or max(histogram.bins) - min(histogram.bins) < MOST_BINS


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0, 1))
def test_quantiles_are_right_to_a_bin(values, share):
    histogram = of(values)
    exact = np.quantile(values, share, method="inverted_cdf")
    assert abs(histogram.quantile(share) - exact) <= histogram.width


def test_whole_numbers_are_exact():
    histogram = Histogram.of_whole_numbers().add(np.array([3, 3, 3, 8]))
    assert histogram.exact
    assert histogram.bins == {3: 3, 8: 1}
    assert (histogram.quantile(0.5), histogram.quantile(1.0)) == (3.0, 8.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_left_out(bad):
    assert of([1.0, bad, 2.0]) == of([1.0, 2.0])
    assert math.isnan(of([bad]).quantile(0.5))
