"""Rows that end their worker, in real processes: each is found, and no neighbour loses a byte to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hardset.pipeline.run.generation import generate
from tests.support import RECIPES, job_of, make_here, quarantined

POISON = """
import ctypes, os, signal, sys, time
import torch
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource

def deadly_cnn(**ends):
    model = small_cnn()
    source = open_source(DigitsSource(limit=40))
    rows, _ = source.read(source.plan(40)[0], source.probe(), 10)
    hated = {torch.from_numpy(rows.pixels[int(i[1:])]).permute(2, 0, 1).float() / 255: end for i, end in ends.items()}

    def end(module, inputs):
        for image, statement in hated.items():
            if (inputs[0] == image).flatten(1).all(1).any():
                exec(statement)

    model.register_forward_pre_hook(end)
    return model
"""


def deadly(folder: Path, ends: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model that executes a statement whenever it sees the row."""
    (folder / "deadly.py").write_text(POISON)
    monkeypatch.syspath_prepend(str(folder))
    return {"factory": "deadly:deadly_cnn", "arguments": {f"r{row}": end for row, end in ends.items()}, "classes": 10}


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """All stored rows by source key, without what names the run."""
    table = pq.ParquetDataset(sorted(out.glob("data/**/*.parquet"))).read().drop_columns(["run_id", "model_id"])
    return {row["source_key"]: row for row in table.to_pylist()}


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param({20: "os._exit(9)", 33: "sys.exit('enough')"}, id="exits"),
        pytest.param({20: "ctypes.string_at(0)", 33: "os.kill(os.getpid(), 9)"}, id="signals", marks=pytest.mark.slow),
        pytest.param({20: "os.kill(os.getpid(), 19)", 33: "time.sleep(999)"}, id="stuck", marks=pytest.mark.slow),
    ],
)
def test_rows_that_end_their_worker_go_to_quarantine_and_take_no_neighbour_along(
    ends: dict[int, str], weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = ends[33].startswith("time")
    changes: dict[str, Any] = {
        "source": {"format": "digits", "limit": 40},
        "recipes": RECIPES[1:2],
        "run": {"actors": 2, "batch": 64, "max_attempts": 1, "shard_minutes": 0.1 if stuck else None},
    }
    harmless = {"factory": "hardset.pipeline.models.zoo:small_cnn", "weights": weights["victim"], "classes": 10}
    outputs = {name: {"path": str(tmp_path / name), "shard_rows": 10} for name in ("harmless", "deadly")}
    make_here(job_of(weights, "", model=harmless, output=outputs["harmless"], **changes))

    model = harmless | deadly(tmp_path, ends, monkeypatch)
    said: list[str] = []
    outcome = generate(job_of(weights, "", model=model, output=outputs["deadly"], **changes), on_warning=said.append)
    assert outcome.status == "complete"
    lost = quarantined(tmp_path / "deadly")
    classes = ("WorkerStuck", "WorkerStuck") if stuck else ("WorkerDied", "WorkerDied")
    assert {row["source_key"]: (row["stage"], row["error_class"]) for row in lost} == {
        "digits#20": ("make", classes[0]),
        "digits#33": ("make", "SystemExit" if "exit(" in ends[33] else classes[1]),
    }
    assert sum("goes to quarantine" in sentence for sentence in said) == 2
    whole = rows_of(tmp_path / "harmless")
    assert rows_of(tmp_path / "deadly") == {
        key: row for key, row in whole.items() if key not in ("digits#20", "digits#33")
    }
