"""Success by budget, of an attack that makes a row for each of several."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.reporting.attack_sections import budgets
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.page import page
from hardset.pipeline.run.commit import make_manifest
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from tests.judging.test_masking_rows import PGD, job
from tests.reporting.conftest import content_of
from tests.reporting.test_page import Outline


def test_success_is_told_by_budget(tmp_path):
    asked = job(tmp_path / "out", {**PGD, "eps": ["4/255", "16/255", "40/255"]}, {**PGD, "eps": "40/255"})
    asked = asked.model_copy(update={"output": asked.output.model_copy(update={"shard_rows": 25})})
    plan, folder = make_plan(asked), Folder(asked.output.path)
    worker, ledger = Worker(asked, plan, torch.device("cpu")), Ledger(folder, plan.run_id)
    ledger.write_plan(plan)
    done = {s.key: run_shard(s, plan.ranges[s.range], worker, ledger).output(s) for s in plan.shards}
    manifest = make_manifest(asked, plan, done, [], "2026-01-01T00:00:00Z")

    several, single = gather(folder, manifest).recipes
    rows = ds.dataset(tmp_path / "out" / "data", format="parquet").to_table().to_pylist()
    rows = [row for row in rows if row["recipe_id"] == several.recipe_id and row["clean_pred"] == row["label"]]
    expected = [
        (len(these), sum(row["success"] for row in these))
        for eps in np.array([4, 16, 40]) / 255
        if (these := [row for row in rows if abs(row["eps"] - eps) < 1e-9])
    ]
    assert list(several.by_budget) == expected
    assert expected[0][1] < expected[1][1] < expected[2][1]
    fallen = [{row["source_key"] for row in rows if row["success"] and row["variant"] == v} for v in range(3)]
    assert fallen[0] <= fallen[1] <= fallen[2], "as the page says"
    assert single.by_budget == ()
    assert several.tally.clean_judged == single.tally.clean_judged == 60, "a clean row counts once"

    words = " ".join(Outline(page(content_of(folder, manifest))).words().split())
    assert all(f"eps {n}/255" in words for n in (4, 16, 40))
    assert f"{expected[1][1]} of {expected[1][0]}" in words
    assert "counts as a success at every larger budget" not in words, "each budget was searched anew"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"stop": "success", "chain": True}, True),
        ({"stop": "success"}, True),  # a chain is left unsaid
        ({"stop": "success", "chain": False}, False),
        ({"stop": "never", "chain": True}, False),
    ],
)
def test_falls_count_for_larger_budgets_where_they_are_taken_over(settings, told):
    text = {"kind": "attack", "name": "pgd", "norm": "linf", "eps": ["4/255", "8/255"], **settings}
    recipe = RecipeStatistics(0, "r", text, Counts(), by_budget=((9, 2), (9, 4)))
    shown = budgets(Content(SimpleNamespace(only_successes=False, attacks=[recipe])))
    assert ("counts as a success at every larger budget" in str(shown)) == told


def test_a_single_budget_has_no_such_section(digits):
    assert "budgets" not in [attributes.get("id") for attributes in Outline(page(digits.content)).all("h2")]
