"""The share of an attacked row's gradient that was not finite stands where its flag says so, and nowhere else."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hardset.pipeline.audit.recipe_checks import _nonfinite_shares

FLAG = "nonfinite_gradient"
SHARE = '{"nonfinite_gradient":0.25}'


@pytest.mark.parametrize(
    ("params", "flags", "fault"),
    [
        (None, "", None),
        (None, "no_rise", None),
        (SHARE, FLAG, None),
        (SHARE, f"{FLAG},no_rise", None),
        (None, FLAG, "params is empty"),
        (SHARE, "no_rise", "params is filled; adversarial rows have none"),
        ('{"nonfinite_gradient":2}', FLAG, "wants a share"),
        ('{"nonfinite_gradient":0.2,"more":1}', FLAG, "wants a share"),
        ("no JSON", FLAG, "wants a share"),
    ],
)
def test_share_and_flag_come_together(params: str | None, flags: str, fault: str | None) -> None:
    table = pa.table({"params": pa.array([params], pa.string()), "flags": [flags]})
    found = [text for _, text in _nonfinite_shares(table)]
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]
