"""Files of every version of the row contract are read and audited: here a real dataset of contract 1.0."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hardset.pipeline.audit.explain import explain
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.browse.compare import compare
from hardset.pipeline.browse.query import find
from hardset.pipeline.dataset.files.parquet import read_footer
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.dataset.tables.delta import publish_delta
from hardset.pipeline.dataset.tables.iceberg import publish_iceberg
from hardset.pipeline.dataset.tables.publication import run_to_publish
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.statistics.recipe_statistics import gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.sources import ParquetSource
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import COLUMNS, VERSIONS, arrow_schema, columns_of
from tests.support import hardset, job_of, last_json

ROOT = Path(__file__).parents[2]
HOME = Path("tests/contract_1_0")
NEW = ["l1", "queries", "found_by", "flags", "transfer_pred", "transferred"]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def old() -> Folder:
    return Folder(str(HOME / "dataset"))


@pytest.fixture
def manifest(old: Folder) -> Manifest:
    found = latest_manifest(old)
    assert found is not None
    assert found.contract == "1.0"
    return found


def _row_of(old: Folder, manifest: Manifest, where: str) -> str:
    row_id: str = find(old, manifest, where=where, limit=1, columns=["row_id"]).rows[0]["row_id"]
    return row_id


def test_each_earlier_version_has_a_dataset_to_be_read() -> None:
    for version in VERSIONS[:-1]:
        home = ROOT / f"tests/contract_{version.replace('.', '_')}"
        files = sorted(home.glob("dataset/data/*/*.parquet"))
        assert files
        for file in files:
            assert pq.read_schema(file).equals(arrow_schema(["0", "1", "2"], version))
            assert read_footer(file.read_bytes())["contract"] == version


def test_an_old_dataset_verifies_to_the_last_row(old: Folder) -> None:
    findings = verify(old, sample=None, against=str(HOME / "source"))
    assert findings.faults == []
    assert (findings.files, findings.rows, findings.rejudged) == (4, 27, 12)


def test_faults_of_an_old_dataset_are_found(manifest: Manifest, tmp_path: Path) -> None:
    shutil.copytree(HOME / "dataset", tmp_path / "out")
    data = manifest.outputs[0].data
    assert data is not None
    file = tmp_path / "out" / data.path
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["confidence"]), file)
    found = verify(Folder(str(tmp_path / "out")), sample=0).faults
    assert f"{data.path}: has another schema than row contract 1.0" in found


def test_rows_are_told_and_shown_without_the_columns_of_later_versions(old: Folder, manifest: Manifest) -> None:
    found = find(old, manifest, where="flags is null", limit=1, columns=[*NEW, "confidence"])
    assert found.matching == 27
    assert [found.rows[0][name] for name in NEW] == [None] * 6
    row = explain(old, _row_of(old, manifest, "kind = 'adversarial'"))
    assert row["change"].keys() == {"norm", "eps", "linf_levels", "l2", "steps"}


def test_figures_and_differences_are_worked_out(old: Folder, manifest: Manifest) -> None:
    statistics = gather(old, manifest)
    assert statistics.unreadable == ()
    assert [recipe.tally.rows for recipe in statistics.recipes] == [6, 6, 12, 3]
    assert compare((old, manifest), (old, manifest), examples=1).same


@pytest.mark.parametrize("kind", ["augmented", "generated"])
def test_rows_of_code_that_has_not_changed_are_made_again(kind: str, old: Folder, manifest: Manifest) -> None:
    done = hardset("replay", old.url, _row_of(old, manifest, f"kind = '{kind}'"), "--json")
    assert (done.returncode, last_json(done)["equal"]) == (0, True), done.stdout + done.stderr


def test_rows_of_other_code_are_refused_by_name(old: Folder, manifest: Manifest) -> None:
    done = hardset("replay", old.url, _row_of(old, manifest, "kind = 'adversarial'"))
    assert done.returncode == 1
    assert "version 1 of the attack code made it (hardset 0.1.0)" in done.stderr


@pytest.mark.parametrize("publish", [publish_iceberg, publish_delta])
def test_an_old_run_is_published_with_its_own_columns(publish: object, tmp_path: Path) -> None:
    shutil.copytree(HOME / "dataset", tmp_path / "out")
    folder = Folder(str(tmp_path / "out"))
    assert callable(publish)
    assert publish(folder, run_to_publish(folder)).added == 4


def test_old_rows_are_a_source_of_new_ones(old: Folder) -> None:
    source = open_source(ParquetSource(format="parquet", path=f"{old.url}/data"))
    (part, *_) = source.plan(100)
    rows, rejects = source.read(part, source.probe(), 3)
    assert (len(rows), rejects) == (6, [])
    assert list(rows.row_ids or ()) == pq.read_table(HOME / "dataset" / "data" / part.file)["row_id"].to_pylist()


def test_no_shard_of_another_contract_is_taken_over(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(weights, tmp_path / "out")
    now = {shard.key for shard in make_plan(job).shards}
    monkeypatch.setattr("hardset.pipeline.planning.plan.CONTRACT_VERSION", "1.0")
    then = {shard.key for shard in make_plan(job).shards}
    assert not now & then


def test_a_later_contract_is_told_of(old: Folder, manifest: Manifest, tmp_path: Path) -> None:
    shutil.copytree(HOME / "dataset", tmp_path / "out")
    path = tmp_path / "out" / "_hardset/runs" / manifest.run_id / "manifest.json"
    path.write_text(manifest.model_copy(update={"contract": "9.0"}).model_dump_json())
    done = hardset("verify", tmp_path / "out", "--sample", 0)
    assert done.returncode == 1
    assert "row contract 9.0 is not known here" in done.stderr


def test_a_version_adds_columns_and_takes_none_away() -> None:
    for earlier, later in pairwise(VERSIONS):
        assert set(columns_of(earlier)) < set(columns_of(later))
    assert columns_of(VERSIONS[-1]) == COLUMNS
    assert [column.name for column in COLUMNS if column.since == "1.1"] == NEW
