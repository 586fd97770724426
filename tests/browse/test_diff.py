"""`hardset diff`: what became of the rows, and the figures of both sides."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.dataset.records.chosen import newest_manifest
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.storage.folder import Folder
from tests.support import RECIPES, hardset, job_of, last_json, make_here


def digits(limit: int) -> dict[str, Any]:
    return {"format": "digits", "limit": limit}


@pytest.fixture(scope="module")
def a(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 source rows, three recipes."""
    place = tmp_path_factory.mktemp("diff") / "a"
    make_here(job_of(weights, place, source=digits(60)))
    return place


@pytest.fixture(scope="module")
def b(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 source rows; the first attack has half the budget."""
    place = tmp_path_factory.mktemp("diff") / "b"
    recipes = [RECIPES[0] | {"eps": "20/255"}, *RECIPES[1:]]
    make_here(job_of(weights, place, source=digits(50), recipes=recipes))
    return place


def rows(out: Path, query: str) -> list[Any]:
    """An answer to a query over all files of an output."""
    return duckdb.sql(query.format(f"read_parquet('{out}/data/*/*.parquet')")).fetchall()


def ids(out: Path) -> set[str]:
    return {row_id for (row_id,) in rows(out, "select row_id from {}")}


def test_a_dataset_is_itself(a: Path) -> None:
    done = hardset("diff", a, a, "--json")
    said = last_json(done)
    assert done.returncode == 0
    assert "They hold the same rows" in done.stdout
    assert "other weights" not in done.stdout
    assert said["status"] == "same"
    assert said["rows"] == {"added": 0, "gone": 0, "changed": 0, "judged": 0, "same": 240}
    assert all(line["a"] == line["b"] for line in said["recipes"])


def test_rows_added_and_gone_are_counted_and_named(a: Path, b: Path) -> None:
    done = hardset("diff", a, b, "--examples", "5", "--json")
    said = last_json(done)
    assert (done.returncode, said["status"]) == (0, "different")
    assert "They differ:" in done.stdout
    added, gone = ids(b) - ids(a), ids(a) - ids(b)
    assert said["rows"] == {"added": len(added), "gone": len(gone), "changed": 0, "judged": 0, "same": 150}
    assert (len(added), len(gone)) == (50, 90)
    assert [row["row_id"] for row in said["examples"]["added"]] == sorted(added)[:5]
    assert [row["row_id"] for row in said["examples"]["gone"]] == sorted(gone)[:5]
    assert sorted(gone)[0] in done.stdout
    assert last_json(hardset("diff", b, a, "--json"))["rows"]["added"] == len(gone)


def test_figures_of_both_sides_are_those_of_the_rows(a: Path, b: Path) -> None:
    lines = {line["recipe"]: line for line in last_json(hardset("diff", a, b, "--json"))["recipes"]}
    asked = """select count(*), avg((pred = label)::int), avg((clean_pred = label)::int),
        avg(success::int) filter (clean_pred = label) from {} where """
    for side, out in (("a", a), ("b", b)):
        for name, where in [
            ("PGD, Linf, eps " + ("40/255" if side == "a" else "20/255"), "op = 'pgd_linf'"),
            ("FGSM, Linf, eps 2/255 to 0.15", "op = 'fgsm_linf'"),
            ("Augment: rotate, gaussian noise", "op = 'augment'"),
            ("all attacks", "kind = 'adversarial'"),
        ]:
            [(count, accuracy, clean, success)] = rows(out, asked + where)
            figures = lines[name][side]
            assert count > 0
            assert figures["rows"] == count
            assert (figures["accuracy"], figures["clean_accuracy"], figures["success"]) == pytest.approx(
                (accuracy, clean, success)
            )
    assert lines["PGD, Linf, eps 40/255"]["b"] is None
    assert list(lines)[-1] == "all attacks"


def test_changed_pixels_and_verdicts_are_told_apart(a: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(a, tmp_path / "copy")
    folder = Folder(str(copy))
    manifest = newest_manifest(folder)
    first, *others = manifest.outputs
    assert first.data is not None
    table = pq.read_table(copy / first.data.path)
    columns = {name: table[name].to_pylist() for name in ("image_sha256", "label", "pred")}
    columns["image_sha256"][3] = "0" * 64
    columns["image_sha256"][5] = "1" * 64
    columns["label"][5] = (columns["label"][5] + 1) % 10
    columns["label"][7] = (columns["label"][7] + 1) % 10
    columns["pred"][8] = None
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    pq.write_table(table, copy / first.data.path)
    data = first.data.model_copy(update={"bytes": (copy / first.data.path).stat().st_size})
    outputs = (first.model_copy(update={"data": data}), *others)
    Ledger(folder, manifest.run_id).write_manifest(
        manifest.model_copy(update={"outputs": outputs, "models": {"victim": "0" * 64}})
    )
    done = hardset("diff", a, copy, "--json")
    said = last_json(done)
    assert "other weights" in done.stdout
    assert said["rows"] == {"added": 0, "gone": 0, "changed": 2, "judged": 2, "same": 236}
    named = table["row_id"].to_pylist()
    assert [row["row_id"] for row in said["examples"]["changed"]] == sorted([named[3], named[5]])
    assert [row["row_id"] for row in said["examples"]["judged"]] == sorted([named[7], named[8]])


def test_rows_that_keep_successes_only_say_nothing_of_accuracy(weights: dict[str, str], a: Path) -> None:
    url = "memory://diff/kept"
    make_here(job_of(weights, url, source=digits(60), output={"path": url, "keep": "success"}))
    lines = {line["recipe"]: line for line in last_json(hardset("diff", a, url, "--json"))["recipes"]}
    pgd = lines["PGD, Linf, eps 40/255"]
    assert pgd["b"]["success"] == pgd["a"]["success"], "counted over the rows that were left out, too"
    assert (pgd["b"]["accuracy"], pgd["b"]["clean_accuracy"]) == (None, None)
    assert lines["Augment: rotate, gaussian noise"]["b"] == lines["Augment: rotate, gaussian noise"]["a"]


def test_what_cannot_be_compared_is_said_in_a_sentence(
    a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(a, tmp_path / "copy")
    gone = next(copy.glob("data/*/*.parquet"))
    gone.unlink()
    done = hardset("diff", a, copy)
    assert (done.returncode, gone.name in done.stderr, len(done.stderr.splitlines())) == (1, True, 1)
    done = hardset("diff", a, tmp_path / "nothing")
    assert (done.returncode, "no finished run here" in done.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = hardset("diff", a, a)
    assert (done.returncode, "pip install 'hardset[inspect]'" in done.stderr) == (2, True)
