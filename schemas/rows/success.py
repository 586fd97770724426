"""Success of an attack, and the rows over which it is counted: one rule for arrays, Arrow and SQL.

Success is counted over *attacked* rows. The other adversarial rows say nothing about the attack: the model
misclassified their clean row, or their target is their own label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardset.schemas.rows.contract import ADVERSARIAL


def succeeded(
    clean_pred: NDArray[np.int64],
    pred: NDArray[np.int64],
    labels: NDArray[np.int64],
    targets: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Mask (N,) of adversarial rows that fool the model: the `success` column.

    Untargeted: clean_pred = label and pred != label; targeted: pred = target != label. Rows without a verdict (pred -1)
    never succeed.
    """
    reached: NDArray[np.bool_] = clean_pred == labels if targets is None else pred == targets
    wrong: NDArray[np.bool_] = (pred != labels) & (pred >= 0)
    return reached & wrong


def attacked(
    clean_pred: NDArray[np.int64], labels: NDArray[np.int64], targets: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Mask (N,) of adversarial rows over which success is counted.

    Untargeted: clean_pred = label; targeted: target != label.
    """
    counted: NDArray[np.bool_] = clean_pred == labels if targets is None else targets != labels
    return counted


def attacked_rows(rows: pa.RecordBatch | pa.Table) -> Any:
    """Mask of the attacked rows among rows of any kind, possibly with nulls, as Arrow booleans without nulls.

    Reads the columns `kind`, `label`, `target_label`, `clean_pred` and `success`.
    """
    label, target = rows.column("label"), rows.column("target_label")
    right = pc.equal(rows.column("clean_pred"), label)
    counted = pc.fill_null(pc.if_else(pc.is_valid(target), pc.not_equal(target, label), right), False)
    judged = pc.and_(pc.equal(rows.column("kind"), ADVERSARIAL), pc.is_valid(rows.column("success")))
    return pc.and_(judged, counted)


ATTACKED_SQL = (
    f"kind = '{ADVERSARIAL}' AND success IS NOT NULL AND "
    "coalesce(CASE WHEN target_label IS NULL THEN clean_pred = label ELSE target_label <> label END, false)"
)
"""SQL condition for the attacked rows; true or false for every row, never null."""
