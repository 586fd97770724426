"""Files of every version of the row contract are read and audited: here real datasets of contracts 1.0 and 1.1."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hardset.pipeline.audit.explain import explain
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
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
from hardset.schemas.errors import RunError
from hardset.schemas.job.sources import ParquetSource
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import COLUMNS, VERSIONS, arrow_schema, columns_of
from tests.support import hardset, job_of

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Old:
    """A dataset that is kept as its version of hardset wrote it."""

    version: str
    rows: dict[str, int]
    """Rows by recipe, in the job's order."""

    @property
    def home(self) -> Path:
        """Relative to the root of the checkout, as its records name it."""
        return Path(f"tests/contract_{self.version.replace('.', '_')}")

    @property
    def folder(self) -> Folder:
        return Folder(str(self.home / "dataset"))

    @property
    def later(self) -> list[str]:
        """Columns that came with later versions."""
        return [column.name for column in COLUMNS if column not in columns_of(self.version)]


OLD = (
    Old("1.0", {"pgd": 6, "fgsm": 6, "augment": 12, "sample": 3}),
    Old("1.1", {"pgd": 12, "fgsm": 6, "apgd_ce": 6, "augment": 12, "sample": 3}),
)


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(params=OLD, ids=lambda kept: kept.version)
def old(request: pytest.FixtureRequest) -> Old:
    kept: Old = request.param
    return kept


@pytest.fixture
def manifest(old: Old) -> Manifest:
    found = latest_manifest(old.folder)
    assert found is not None
    assert found.contract == old.version
    return found


def _copy(old: Old, tmp_path: Path) -> Path:
    return shutil.copytree(old.home / "dataset", tmp_path / "out")


def _row_of(old: Old, manifest: Manifest, where: str) -> str:
    row_id: str = find(old.folder, manifest, where=where, limit=1, columns=["row_id"]).rows[0]["row_id"]
    return row_id


def test_each_earlier_version_has_a_dataset_to_be_read() -> None:
    assert tuple(kept.version for kept in OLD) == VERSIONS[:-1]


def test_files_have_the_schema_of_their_version(old: Old) -> None:
    files = sorted(old.home.glob("dataset/data/*/*.parquet"))
    assert len(files) == len(old.rows)
    for file in files:
        assert pq.read_schema(file).equals(arrow_schema(["0", "1", "2"], old.version))
        assert read_footer(file.read_bytes())["contract"] == old.version


def test_an_old_dataset_verifies_to_the_last_row(old: Old) -> None:
    findings = verify(old.folder, sample=None, trust=Trust(records=True, source=str(old.home / "source")))
    assert findings.faults == []
    assert (findings.files, findings.rows) == (len(old.rows), sum(old.rows.values()))
    assert findings.rejudged == findings.rows


def test_faults_of_an_old_dataset_are_found(old: Old, manifest: Manifest, tmp_path: Path) -> None:
    out = _copy(old, tmp_path)
    data = manifest.outputs[0].data
    assert data is not None
    table = pq.read_table(out / data.path)
    pq.write_table(table.drop_columns(["confidence"]), out / data.path)
    found = verify(Folder(str(out)), sample=0).faults
    assert f"{data.path}: has another schema than row contract {old.version}" in found


def test_rows_are_told_and_shown_without_the_columns_of_later_versions(old: Old, manifest: Manifest) -> None:
    empty = " AND ".join(f'"{name}" IS NULL' for name in old.later)
    found = find(old.folder, manifest, where=empty, limit=1, columns=[*old.later, "confidence"])
    assert found.matching == sum(old.rows.values())
    assert [found.rows[0][name] for name in old.later] == [None] * len(old.later)
    change = explain(old.folder, _row_of(old, manifest, "kind = 'adversarial'"))["change"].keys()
    assert change == {
        "norm",
        "eps",
        "linf_levels",
        "l2",
        "steps",
        *({"l1", "queries", "found_by", "flags"} - {*old.later}),
    }


def test_figures_and_differences_are_worked_out(old: Old, manifest: Manifest) -> None:
    statistics = gather(old.folder, manifest)
    assert statistics.unreadable == ()
    assert [recipe.tally.rows for recipe in statistics.recipes] == list(old.rows.values())
    assert compare((old.folder, manifest), (old.folder, manifest), examples=1).same


REPLAYED = [
    (OLD[0], "kind = 'generated'"),
    (OLD[1], "kind = 'generated'"),
    (OLD[1], "found_by = 'pgd' AND variant = 1"),
    (OLD[1], "target_label IS NOT NULL"),
]


@pytest.mark.parametrize(("kept", "where"), REPLAYED)
def test_rows_of_code_that_has_not_changed_are_made_again(kept: Old, where: str) -> None:
    manifest = latest_manifest(kept.folder)
    assert manifest is not None
    done = replay(kept.folder, _row_of(kept, manifest, where), trust=Trust(records=True))
    assert done.equal


OTHER_CODE = [(OLD[0], "kind = 'adversarial'", "pgd"), *((kept, "kind = 'augmented'", "rotate") for kept in OLD[:2])]


@pytest.mark.parametrize(("kept", "where", "code"), OTHER_CODE)
def test_rows_of_other_code_are_refused_by_name(kept: Old, where: str, code: str) -> None:
    manifest = latest_manifest(kept.folder)
    assert manifest is not None
    done = hardset("replay", "--trust-code", kept.folder.url, _row_of(kept, manifest, where))
    assert done.returncode == 1
    assert f"version 1 of the {code} code made it (hardset 0.1.0)" in done.stderr


@pytest.mark.parametrize("publish", [publish_iceberg, publish_delta])
def test_an_old_run_is_published_with_its_own_columns(old: Old, publish: object, tmp_path: Path) -> None:
    folder = Folder(str(_copy(old, tmp_path)))
    assert callable(publish)
    assert publish(folder, run_to_publish(folder)).added == len(old.rows)


def test_old_rows_are_a_source_of_new_ones(old: Old) -> None:
    source = open_source(ParquetSource(format="parquet", path=f"{old.folder.url}/data"))
    (part, *_) = source.plan(100)
    rows, rejects = source.read(part, source.probe(), 3)
    assert (len(rows), rejects) == (old.rows["pgd"], [])
    table = pq.read_table(old.home / "dataset" / "data" / part.file)
    assert list(rows.row_ids or ()) == table["row_id"].to_pylist()


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_no_shard_of_another_contract_is_taken_over(
    version: str, weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(weights, tmp_path / "out")
    now = {shard.key for shard in make_plan(job).shards}
    monkeypatch.setattr("hardset.pipeline.planning.plan.CONTRACT_VERSION", version)
    then = {shard.key for shard in make_plan(job).shards}
    assert not now & then


def test_a_later_contract_is_told_of(manifest: Manifest, old: Old, tmp_path: Path) -> None:
    out = _copy(old, tmp_path)
    path = out / "_hardset/runs" / manifest.run_id / "manifest.json"
    path.write_text(manifest.model_copy(update={"contract": "9.0"}).model_dump_json())
    with pytest.raises(RunError, match=r"row contract 9\.0 is not known here"):
        verify(Folder(str(out)), sample=0)


def test_a_version_adds_columns_and_takes_none_away() -> None:
    for earlier, later in pairwise(VERSIONS):
        assert set(columns_of(earlier)) < set(columns_of(later))
    assert columns_of(VERSIONS[-1]) == COLUMNS
