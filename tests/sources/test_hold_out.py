"""Held-out rows: the same whatever the ranges, a share as asked, and counted."""

from __future__ import annotations

import numpy as np

from hardset.pipeline.sources.hold_out import held_out
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource, HoldOut
from tests.support import job_of, make_here

IMAGE = open_source(DigitsSource()).probe()


def keys(part: str, shard_rows: int) -> list[str]:
    source = open_source(DigitsSource(hold_out=HoldOut(fraction=0.1, part=part)))
    return [key for piece in source.plan(shard_rows) for key in source.read(piece, IMAGE, 10)[0].keys]


def test_the_parts_are_the_whole_and_do_not_depend_on_the_ranges():
    rest, held = keys("rest", 2000), keys("held_out", 2000)
    assert (rest, held) == (keys("rest", 100), keys("held_out", 77))
    assert sorted(rest + held) == sorted(f"digits#{row}" for row in range(1797))
    assert abs(len(held) / 1797 - 0.1) < 3 * np.sqrt(0.09 / 1797)


def test_another_seed_holds_out_others():
    one, other = (HoldOut(fraction=0.5, seed=seed) for seed in (0, 1))
    told = np.array([[held_out(f"digits#{row}", spec) for spec in (one, other)] for row in range(1000)])
    assert 400 < (told[:, 0] != told[:, 1]).sum() < 600


def test_a_run_counts_what_it_leaves_out(weights, tmp_path):
    out = tmp_path / "out"
    job = job_of(weights, out, recipes=[{"kind": "attack", "name": "fgsm", "eps": "0.1"}])
    job = job.model_copy(update={"source": DigitsSource(limit=100, hold_out=HoldOut(fraction=0.2))})
    totals = make_here(job).totals
    expected = sum(held_out(f"digits#{row}", HoldOut(fraction=0.2)) for row in range(100))
    assert (totals.held_out, totals.rows_out) == (expected, 100 - expected)
    assert expected > 0
