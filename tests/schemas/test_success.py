"""One rule says which rows an attack succeeded on, and over which rows that is counted: in numpy, Arrow and SQL."""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from hardset.schemas.rows.contract import COLUMNS, KINDS
from hardset.schemas.rows.success import ATTACKED_SQL, attacked, attacked_rows, succeeded

NAMES = ("kind", "label", "target_label", "clean_pred", "success")
CLASSES = (0, 1, 2)


def _table(rows: list[tuple[object, ...]]) -> pa.Table:
    types = {column.name: column.type for column in COLUMNS}
    values = zip(*rows, strict=True)
    return pa.table({name: pa.array(column, types[name]) for name, column in zip(NAMES, values, strict=True)})


EVERY = _table(
    list(itertools.product(KINDS, (*CLASSES, None), (*CLASSES, None), (*CLASSES, None), (True, False, None)))
)


def test_arrow_and_sql_agree_on_every_row_that_can_be_stored() -> None:
    found = attacked_rows(EVERY)
    assert found.null_count == 0
    with duckdb.connect() as connection:
        connection.register("files", EVERY)
        told = connection.execute(f"SELECT {ATTACKED_SQL} FROM files").fetchall()
    assert [value for (value,) in told] == found.to_pylist()
    assert 0 < sum(found.to_pylist()) < len(EVERY)


@pytest.mark.parametrize("targeted", [False, True])
def test_numpy_and_arrow_agree_on_the_rows_of_a_shard(targeted: bool) -> None:
    rows = list(itertools.product(CLASSES, CLASSES if targeted else (None,), CLASSES))
    labels, targets, clean = (np.asarray(column) for column in zip(*rows, strict=True))
    found = attacked(clean, labels, targets if targeted else None)
    stored = _table([("adversarial", *row, False) for row in rows])
    assert found.tolist() == attacked_rows(stored).to_pylist()


@pytest.mark.parametrize(("targets", "wanted"), [(None, [1, 0, 1, 0]), ([1, 1, 2, 2], [1, 0, 0, 1])])
def test_rows_count_as_attacked_where_success_can_be_had(targets: list[int] | None, wanted: list[int]) -> None:
    labels, clean = np.array([0, 1, 2, 0]), np.array([0, 0, 2, 1])
    found = attacked(clean, labels, None if targets is None else np.array(targets))
    assert found.tolist() == list(map(bool, wanted))


@pytest.mark.parametrize("targeted", [False, True])
def test_only_attacked_rows_succeed(targeted: bool) -> None:
    rows = list(itertools.product(CLASSES, CLASSES, CLASSES, (*CLASSES, -1)))
    labels, targets, clean, pred = (np.asarray(column) for column in zip(*rows, strict=True))
    aims = targets if targeted else None
    fooled = succeeded(clean, pred, labels, aims)
    assert fooled.any()
    assert not (fooled & ~attacked(clean, labels, aims)).any()


@pytest.mark.parametrize(
    ("clean_pred", "pred", "target", "success"),
    [
        (1, 1, None, False),
        (1, 0, None, True),
        (2, 0, None, False),
        (2, 1, None, False),
        (1, -1, None, False),
        (1, 0, 0, True),
        (1, 2, 0, False),
        (0, 0, 0, True),
        (1, -1, 0, False),
        (1, 1, 1, False),
        (0, 1, 1, False),
    ],
)
def test_success_is_the_contracts(clean_pred: int, pred: int, target: int | None, success: bool) -> None:
    """The row has label 1."""
    targets = None if target is None else np.asarray([target])
    assert succeeded(np.asarray([clean_pred]), np.asarray([pred]), np.asarray([1]), targets).tolist() == [success]
