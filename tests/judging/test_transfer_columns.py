"""The transfer columns by themselves: who counts as fooled, over what, and what an audit says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.judging.transfer import HeldOutVerdicts, Seen, transfer_faults, transfer_of
from hardset.pipeline.judging.transfer_counts import transfer_rates

CPU = torch.device("cpu")


class Table(nn.Module):
    """Logits that the first pixel looks up."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rows[(images[:, 0, 0, 0] * 255).round().long()]


NAN = float("nan")
TABLE = Table([5, 0, 0], [0, 5, 0], [0, 0, 5], [NAN, 0, 0], [0, 5, 4.9999])


def asked(stored: list[int], clean: list[int], labels: list[int], targets: list[int] | None = None) -> HeldOutVerdicts:
    """One held-out model's verdicts; rows are named by their line in the table."""
    pixels = [np.asarray(lines, np.uint8).reshape(-1, 1, 1, 1) for lines in (stored, clean)]
    return transfer_of(
        {"b": Judge(TABLE, 4, CPU), "a": Judge(TABLE, 4, CPU)},
        *pixels,
        parents=np.arange(len(stored)),
        labels=np.asarray(labels),
        targets=None if targets is None else np.asarray(targets),
    )


def test_only_a_right_clean_verdict_can_be_fooled_and_no_verdict_is_none() -> None:
    found = asked([1, 0, 1, 3, 1], [0, 0, 1, 0, 3], [0, 0, 0, 0, 0])
    assert found.columns()["transferred"].tolist() == [2, 0, 0, 0, 0]
    assert found.columns()["transfer_pred"][0] == '{"a":1,"b":1}'
    assert found.columns()["transfer_pred"][3] == '{"a":null,"b":null}'
    assert transfer_rates(found.signals(np.ones(5, bool))) == {"a": (1, 3), "b": (1, 3)}
    assert transfer_rates(found.signals(np.asarray([False, True, True, True, True]))) == {"a": (0, 2), "b": (0, 2)}


def test_a_targeted_attack_transfers_where_the_target_is_predicted() -> None:
    found = asked([2, 1, 3], [1, 0, 0], [0, 0, 0], [2, 2, 2])
    assert found.columns()["transferred"].tolist() == [2, 0, 0]
    assert transfer_rates(found.signals(np.ones(3, bool))) == {"a": (1, 2), "b": (1, 2)}


def test_without_held_out_models_there_is_nothing() -> None:
    nothing = HeldOutVerdicts({}, np.zeros(2, np.int64), None)
    assert nothing.columns() == {} and nothing.signals(np.ones(2, bool)) == {}
    assert list(transfer_faults(nothing, [{"transfer_pred": None, "transferred": None}], 1e-3)) == []


@pytest.mark.parametrize(
    ("transfer_pred", "transferred", "faults"),
    [
        ('{"a":1,"b":1}', 2, []),
        ('{"a":2,"b":1}', 2, []),
        ('{"a":0,"b":1}', 1, ["held-out model a predicts class 1 when judged again, class 0 as stored"]),
        ('{"a":null,"b":1}', 1, ["held-out model a predicts class 1 when judged again, none as stored"]),
        ('{"a":1,"b":1}', 1, ["transferred is 2 when counted again, 1 as stored"]),
        ('{"a":1,"b":1}', None, ["transferred is 2 when counted again, None as stored"]),
        ('{"a":1}', 2, ["transfer_pred does not name the held-out models: a, b"]),
        ("[1]", 2, ["transfer_pred does not name the held-out models: a, b"]),
        (None, None, ["transfer_pred does not name the held-out models: a, b"]),
        ('{"a":1', 2, ["transfer_pred does not name the held-out models: a, b"]),
        ('{"a":7,"b":1}', 1, ["held-out model a predicts class 1 when judged again, none as stored"]),
    ],
)
def test_an_audit_says_what_is_wrong_and_lets_close_calls_pass(
    transfer_pred: str | None, transferred: int | None, faults: list[str]
) -> None:
    """Line 4 of the table holds two classes that are almost equal."""
    found = asked([4], [0], [0])
    rows = [{"transfer_pred": transfer_pred, "transferred": transferred}]
    assert [sentence for _, sentence in transfer_faults(found, rows, 1e-3)] == faults


@pytest.mark.parametrize(
    ("logits", "short", "reported"), [(0.4, 5e-4, 0), (0.4, 2e-3, 1), (40.0, 2e-2, 0), (40.0, 8e-2, 1)]
)
def test_close_calls_are_relative_to_the_largest_logit_or_to_one(logits: float, short: float, reported: int) -> None:
    """The stored class lacks `short` of being the predicted one, at a tolerance of a thousandth."""
    scores = np.array([[logits, logits - short, -logits]])
    found = HeldOutVerdicts({"other": Seen(scores, scores)}, np.array([2]), None)
    rows = [{"transfer_pred": '{"other":1}', "transferred": 0}]
    assert len(list(transfer_faults(found, rows, 1e-3))) == reported
