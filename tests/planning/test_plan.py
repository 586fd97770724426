"""A plan looks at its source by one reader, so that files are listed, and their footers read, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardset.pipeline.planning import plan
from tests.sources.making import npz_bytes, pixels, write
from tests.support import job_of


def test_a_source_of_numbers_is_opened_once(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.stack([pixels(row, 8, 8, 1)[..., 0] for row in range(6)])
    write(tmp_path / "in" / "train.npz", npz_bytes(images, np.arange(6)))
    opened: list[object] = []
    original = plan.open_source
    monkeypatch.setattr(plan, "open_source", lambda *given, **more: opened.append(given) or original(*given, **more))
    job = job_of(weights, tmp_path / "out", source={"format": "npz", "path": str(tmp_path / "in")})
    assert plan.make_plan(job).classes == tuple("0123456789")
    assert len(opened) == 1
