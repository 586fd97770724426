"""`hardset explain` tells where a row comes from, also across runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from hardset.pipeline.audit.explain import explain
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.run.commit import make_manifest
from hardset.pipeline.run.run_state import look
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest
from tests.support import RECIPES, hardset, job_of, last_json, make_here


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of an attack and an augmentation of 30 digits."""
    out = tmp_path_factory.mktemp("explained") / "out"
    recipes = [RECIPES[0], RECIPES[2]]
    make_here(job_of(weights, out, source={"format": "digits", "limit": 30}, recipes=recipes))
    return out


def rows_of(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ds.dataset(out / "data", format="parquet").to_table().to_pylist()
    return rows


def manifest_of(out: Path) -> Manifest:
    manifest = latest_manifest(Folder(str(out)))
    assert manifest is not None
    return manifest


@pytest.mark.parametrize("kind", ["adversarial", "augmented"])
def test_all_that_made_a_row_is_told(made: Path, kind: str) -> None:
    row = next(row for row in reversed(rows_of(made)) if row["kind"] == kind)
    done = hardset("explain", made, row["row_id"], "--json")
    assert done.returncode == 0, done.stderr
    found, manifest = last_json(done), manifest_of(made)
    output = next(o for o in manifest.outputs if o.data is not None and o.data.path == found["shard"]["file"])
    receipt = Ledger(Folder(str(made)), manifest.run_id).receipts()[output.key]
    assert found["recipe"]["text"] == manifest.recipes[row["recipe_id"]]
    assert found["run"]["run_id"] == manifest.run_id
    assert found["receipt"]["host"] == receipt.host
    assert found["source"] == {name: row[f"source_{name}"] for name in ("dataset", "split", "key", "index", "sha256")}
    assert (found["seed"], found["variant"], found["parent"]) == (row["seed"], row["variant"], None)
    assert (found["model"] is None) == (kind == "augmented")
    for name in ("label", "pred", "margin", "success", "linf_levels"):
        assert (found["verdict"] | found["change"]).get(name) == row[name]


def test_the_tree_names_what_the_json_holds(made: Path) -> None:
    row = rows_of(made)[0]
    text = hardset("explain", made, row["row_id"]).stdout
    lines = text.splitlines()
    assert lines[0] == f"row {row['row_id']}: {row['kind']}, {row['op']}"
    assert all(line.startswith(("├─ ", "└─ ", "│  ", "   ")) for line in lines[1:])
    for value in (row["run_id"], row["recipe_id"], row["model_sha256"], row["source_key"], row["source_sha256"]):
        assert value in text
    assert f"success {row['success']}" in text


def test_a_parent_is_followed_into_the_source(made: Path, weights: dict[str, str], tmp_path: Path) -> None:
    out, source = tmp_path / "out", {"format": "parquet", "path": str(made / "data")}
    make_here(job_of(weights, out, source=source, recipes=[RECIPES[1]], name="second"))
    earlier = {row["row_id"]: row for row in rows_of(made)}
    rows = rows_of(out)
    assert {row["parent_row_id"] for row in rows} == earlier.keys()
    for row in (rows[0], rows[-1]):
        parent = explain(Folder(str(out)), row["row_id"])["parent"]
        assert parent["source"]["key"] == earlier[row["parent_row_id"]]["source_key"]
        assert row["source_sha256"] == earlier[row["parent_row_id"]]["image_sha256"]
    text = hardset("explain", out, rows[0]["row_id"]).stdout
    assert f"└─ made from row {rows[0]['parent_row_id']}: " in text
    assert f"run {manifest_of(made).run_id} of job test" in text


def test_a_parent_that_is_gone_is_said_to_be(made: Path, weights: dict[str, str], tmp_path: Path) -> None:
    moved, out = tmp_path / "moved", tmp_path / "out"
    shutil.copytree(made, moved)
    source = {"format": "parquet", "path": str(moved / "data"), "limit": 5}
    make_here(job_of(weights, out, source=source, recipes=[RECIPES[1]]))
    shutil.rmtree(moved)
    row = rows_of(out)[0]
    assert explain(Folder(str(out)), row["row_id"])["parent"] == {"row_id": row["parent_row_id"], "found": False}


def test_an_unknown_row_is_one_sentence(made: Path) -> None:
    done = hardset("explain", made, "f" * 32)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "no such row" in done.stderr


def test_shards_of_an_earlier_run_count_for_the_recipe_as_it_is_listed_now(
    made: Path, weights: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    job = job_of(weights, out, source={"format": "digits", "limit": 30}, recipes=[RECIPES[2], RECIPES[0]])
    state = look(job)
    manifest = make_manifest(job, state.plan, state.done, [], "2026-01-01T00:00:00+00:00")
    assert [(output.index, output.recipe) for output in manifest.outputs] == [(0, 0), (1, 1)]
    assert [output.run_id for output in manifest.outputs] == [manifest_of(made).run_id] * 2
