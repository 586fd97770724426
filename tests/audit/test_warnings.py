"""A dataset whose run warned of its source or its model is as sound as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hardset
from hardset.pipeline.audit.count_checks import count_faults
from hardset.pipeline.audit.expected import claims_of
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run import generation
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from tests.nights.conftest import in_process


def test_warnings_of_source_and_model_are_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
    pixels[:3] = 0
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(60) % 10)
    monkeypatch.setattr(generation, "results", in_process)
    out = tmp_path / "out"
    ended = hardset.generate(
        {
            "name": "doubtful",
            "source": {"format": "npz", "path": str(tmp_path / "x.npz")},
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10},  # untrained
            "recipes": [
                {"kind": "augment", "ops": [{"name": "hflip"}]},
                {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "8/255"},
            ],
            "output": {"path": str(out)},
        }
    )
    told = " ".join(ended.warnings)
    assert "3 of 60 rows are nearly black" in told and "no more often than by chance" in told
    verified = hardset.verify(out)
    assert (verified.status, verified.faults) == ("verified", ())


def test_no_more_source_rows_look_odd_than_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "results", in_process)
    job = {
        "name": "odd",
        "source": {"format": "digits", "limit": 20},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(tmp_path / "out")},
    }
    run_id = hardset.generate(job).run_id
    ledger = Ledger(Folder(str(tmp_path / "out")), run_id)
    plan, manifest = ledger.plan(), ledger.manifest()
    assert plan is not None and manifest is not None
    for signals, fault in (({"read:near_black": 21}, "more than 20 source rows"), ({"flag:unmoved": 1}, "no attack")):
        counts = manifest.outputs[0].counts + Counts(signals=signals)
        told = manifest.model_copy(
            update={"outputs": (manifest.outputs[0].model_copy(update={"counts": counts}), *manifest.outputs[1:])}
        )
        faults = [what for _, what in count_faults(told, plan, claims_of(plan, told), "")]
        assert any(fault in what for what in faults), faults
