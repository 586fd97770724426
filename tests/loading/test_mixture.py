"""Batches: mixed as asked, every row before any twice, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind


def part(rows: int) -> RowsOfKind:
    return RowsOfKind(np.zeros((rows, 2, 2, 1), np.uint8), np.zeros(rows, np.int64), np.arange(rows))


PARTS = {"clean": part(50), "newest": part(30), "older": part(7)}


def mixed(**shares: float) -> TrainingRows:
    return TrainingRows(PARTS, 16, 5, shares)


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ({"clean": 1.0}, {"clean": 16}),
        ({"clean": 0.5, "newest": 0.4, "older": 0.1}, {"clean": 8, "newest": 6, "older": 2}),
        ({"newest": 0.9, "generated": 0.1}, {"newest": 16}),
        ({"clean": 0.3, "newest": 0.7, "older": 0.0}, {"clean": 5, "newest": 11}),
    ],
)
def test_a_batch_holds_its_shares(shares, counts):
    rows = mixed(**shares)
    assert rows.counts() == counts
    assert {pick.kind: len(pick.rows) for pick in rows.picks(9)} == counts


def test_every_row_comes_once_before_any_comes_twice():
    rows = mixed(clean=0.5, newest=0.4, older=0.1)
    for kind, size in (("clean", 50), ("newest", 30), ("older", 7)):
        stream = np.concatenate([pick.rows for step in range(40) for pick in rows.picks(step) if pick.kind == kind])
        whole = stream[: len(stream) // size * size].reshape(-1, size)
        assert len(whole) >= 5
        assert (np.sort(whole, axis=1) == np.arange(size)).all()
        assert (whole[0] != whole[1]).any()


def test_batches_depend_on_seed_and_number_alone():
    one, same, other = mixed(clean=1.0), mixed(clean=1.0), TrainingRows(PARTS, 16, 6, {"clean": 1.0})
    assert (one.picks(7)[0].rows == same.picks(7)[0].rows).all()
    assert (one.picks(7)[0].rows != other.picks(7)[0].rows).any()


def test_an_epoch_is_as_long_as_the_clean_rows():
    assert mixed(newest=1.0).steps == 3
