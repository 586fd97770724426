"""`hardset show`: rows that meet a condition, and nothing beside the rows within a condition's reach."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hardset.jobs.telling.show import _value
from hardset.pipeline.browse.query import find
from hardset.pipeline.dataset.files.scan import StoredFile
from hardset.pipeline.dataset.records.chosen import newest_manifest
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import DataFile
from hardset.schemas.rows.contract import COLUMNS
from tests.dataset.examples import CLASSES, FOOTER, RUN, columns_of, manifest_of, pixels_of, shard_of
from tests.support import hardset, job_of, last_json, make_here

HARD = "kind = 'adversarial' and margin > -0.1"
SMALL: dict[str, Any] = {"source": {"format": "digits", "limit": 60}}


@pytest.fixture(scope="module")
def out(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 240 rows, beside whose files lies one that no manifest lists."""
    place = tmp_path_factory.mktemp("show") / "out"
    make_here(job_of(weights, place, **SMALL))
    first = next(place.glob("data/*/*.parquet"))
    (first.parent / "train-99999-aaaaaaaaaaaa.parquet").write_bytes(first.read_bytes())
    return place


def listed(out: Path) -> list[str]:
    """The files of the run, by another way than through the code under test."""
    manifest = json.loads(next(out.glob("_hardset/runs/*/manifest.json")).read_bytes())
    return [str(out / output["data"]["path"]) for output in manifest["outputs"]]


@pytest.mark.parametrize("where", [HARD, "success", "label in (3, 4) or l2 is null", "op like 'aug%'", "true -- all"])
def test_the_rows_are_those_that_duckdb_finds_in_the_listed_files(out: Path, where: str) -> None:
    expected = duckdb.sql(f"select row_id, margin, label from read_parquet({listed(out)}) where {where}\n").fetchall()
    done = last_json(
        hardset("show", out, "--where", where, "--limit", "999", "--columns", "row_id,margin,label", "--json")
    )
    assert [tuple(row.values()) for row in done["rows"]] == expected
    assert (done["matching"], done["of"]) == (len(expected), 240)
    assert expected


@pytest.mark.parametrize(
    "endless",
    [
        "(with recursive t(i) as (select 1 union all select i + 1 from t) select count(*) from t) > 0",
        "(select count(*) from rows a, rows b, rows c, rows d where a.margin + b.margin + c.margin + d.margin > 1) > 0",
    ],
)
def test_an_endless_condition_ends(out: Path, endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDSET_QUERY_SECONDS", "0.3")
    done = hardset("show", out, "--where", endless)
    assert done.returncode == 2
    assert "the query was ended after 0.3 s; make it simpler, or set HARDSET_QUERY_SECONDS higher" in done.stderr


def test_a_limit_shows_the_first_and_counts_all(out: Path) -> None:
    every = last_json(hardset("show", out, "--where", HARD, "--limit", "999", "--json"))
    done = hardset("show", out, "--where", HARD, "--limit", "2", "--json")
    assert last_json(done)["rows"] == every["rows"][:2]
    assert f"{every['matching']} rows of 240 in run" in done.stdout
    assert "the first 2 shown" in done.stdout


def test_the_table_names_classes_and_budgets(out: Path) -> None:
    head, row = hardset("show", out, "--where", "op = 'pgd_linf'", "--limit", "1").stdout.splitlines()[:2]
    assert head.split()[:5] == ["row_id", "op", "norm", "eps", "label"]
    assert row.split()[1:4] == ["pgd_linf", "Linf", "40/255"]
    bare = hardset("show", out, "--where", "kind = 'augmented'", "--limit", "1").stdout.splitlines()[0].split()
    assert "eps" not in bare, "columns without a value only take room"
    everything = last_json(hardset("show", out, "--columns", "all", "--limit", "1", "--json"))["rows"][0]
    assert tuple(everything) == tuple(column.name for column in COLUMNS if column.name != "image")


@pytest.mark.parametrize(
    "where",
    [
        "exists (select 1 from read_csv('/etc/passwd'))",
        "exists (select 1 from '/etc/passwd')",
        "exists (select 1 from read_text('{secret}'))",
        "exists (select 1 from '{out}/data/*/*.parquet')",
        "exists (select 1 from glob('/etc/*'))",
        "exists (select 1 from secret_variable)",
        "true; copy (select 1) to '{new}'",
        "true) ; copy (select 1) to '{new}'; select (true",
        "true; set enable_external_access = true",
        "true; attach '{new}'",
        "exists (copy (select 1) to '{new}')",
        "exists (select 1 from sniff_csv('/etc/passwd'))",
    ],
)
def test_a_condition_reads_and_writes_nothing_beside_the_rows(out: Path, tmp_path: Path, where: str) -> None:
    secret_variable = pa.table({"a": [1]})
    (tmp_path / "secret").write_text("x")
    filled = where.format(secret=tmp_path / "secret", new=tmp_path / "new", out=out)
    done = hardset("show", out, "--where", filled)
    assert done.returncode == 2, (done.stdout, secret_variable)
    assert done.stderr.startswith("hardset: --where: ")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("margn > 0", '"margn" not found'),
        ("margin >", "syntax error"),
        ("", "Parser Error"),
        ("max(margin) > 0", "aggregates"),
        ("row_id::int > 3", "Could not convert"),
        ("image.bytes is null", '"image'),
    ],
)
def test_a_bad_condition_ends_in_one_sentence(out: Path, where: str, reason: str) -> None:
    done = hardset("show", out, "--where", where)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_arguments_that_cannot_be_used(out: Path, tmp_path: Path) -> None:
    for arguments, words in [
        ((out, "--columns", "label,nope"), "no column 'nope'"),
        ((tmp_path,), "no finished run here"),
        ((out, "--limit", "501", "--png", tmp_path / "x.png"), "500 rows at most"),
    ]:
        done = hardset("show", *arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_the_picture_holds_the_shown_rows(out: Path, tmp_path: Path) -> None:
    sizes = []
    for limit in ("1", "15"):
        done = hardset("show", out, "--where", HARD, "--limit", limit, "--png", tmp_path / f"{limit}.png", "--json")
        assert done.returncode == 0, done.stderr
        assert last_json(done)["picture"] == str(tmp_path / f"{limit}.png")
        with Image.open(tmp_path / f"{limit}.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] > sizes[0][1] + 300, "15 rows take two bands of clean, stored and difference"
    none = hardset("show", out, "--where", "margin > 1e9", "--png", tmp_path / "none.png")
    assert "there is no row to draw" in none.stdout
    assert not (tmp_path / "none.png").exists()


def test_a_broken_file_is_named_and_is_no_fault_of_the_condition(weights: dict[str, str], tmp_path: Path) -> None:
    make_here(job_of(weights, tmp_path / "out", **SMALL))
    Path(listed(tmp_path / "out")[1]).unlink()
    done = hardset("show", tmp_path / "out", "--where", HARD)
    assert done.returncode == 1
    assert Path(listed(tmp_path / "out")[1]).name in done.stderr
    assert "is missing" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_images_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.5 MB of noise: what is fetched is the footer and two columns."""
    from hardset.pipeline.dataset.files.parquet import encode_rows
    from hardset.pipeline.dataset.records.ledger import Ledger
    from tests.dataset.examples import commit_shard

    folder, shard = Folder(str(tmp_path)), shard_of(0)
    receipt = commit_shard(Ledger(folder, RUN), shard)
    data = encode_rows(columns_of(pixels_of(300, size=40)), classes=CLASSES, footer=FOOTER)
    folder.write("data/big.parquet", data)
    big = DataFile(path="data/big.parquet", bytes=len(data), sha256="", rows=300)
    manifest = manifest_of((shard,), [receipt.model_copy(update={"data": big})])
    fetched = []
    read = StoredFile.read

    def counting(file: StoredFile, size: int = -1) -> bytes:
        got = read(file, size)
        fetched.append(len(got))
        return got

    monkeypatch.setattr(StoredFile, "read", counting)
    found = find(folder, manifest, where="margin > 0", limit=5, columns=["row_id"])
    assert len(found.rows) == 5
    assert found.matching == 150
    assert len(data) > 1_000_000
    assert sum(fetched) < 200_000
    assert pq.ParquetFile(tmp_path / "data" / "big.parquet").metadata.num_rows == 300


def test_any_store_will_do(weights: dict[str, str]) -> None:
    url = "memory://show/out"
    make_here(job_of(weights, url, **SMALL))
    done = last_json(hardset("show", url, "--where", HARD, "--png", "memory://show/grid.png", "--json"))
    assert done["matching"] > 0
    assert Folder("memory://show").read("grid.png").startswith(b"\x89PNG")
    assert len(newest_manifest(Folder(url)).data_files) > 1


def test_texts_of_rows_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in _value({"params": "\x1b[2J"}, "params", ())
    assert "\x1b" not in _value({"label": 0}, "label", ("\x1b]0;title\x07",))


def test_without_duckdb_the_extra_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    done = hardset("show", out)
    assert done.returncode == 2
    assert "pip install 'hardset[inspect]'" in done.stderr
