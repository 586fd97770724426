"""The dataset card and Croissant: they list exactly the newest run's files and say what is in them."""

from __future__ import annotations

import json
import re
from typing import Any

import datasets
import duckdb
import pytest
import yaml

from hardset.pipeline.dataset.provenance.card import FILES, VIEW, tells_of, write_card
from hardset.pipeline.dataset.provenance.croissant import croissant
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Manifest
from hardset.schemas.records.summary import Summary
from hardset.schemas.rows.contract import COLUMNS
from tests.dataset.examples import CLASSES, RUN, commit_shard, finished_run, manifest_of, shard_of

SHARDS = (shard_of(0), shard_of(1, recipe=1), shard_of(2, split="test"))


def head(folder: Folder) -> dict[str, Any]:
    start, text, _ = folder.read("README.md").decode().split("---\n", 2)
    assert start == ""
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def carded(folder: Folder, **changes: Any) -> Manifest:
    manifest = finished_run(folder, SHARDS, **changes)
    write_card(folder, manifest)
    return manifest


def test_the_head_lists_files_by_split_and_all_features(folder: Folder) -> None:
    train, second, test = (file.path for file in carded(folder, lost=1).data_files)
    found = head(folder)
    files = [{"split": "test", "path": [test]}, {"split": "train", "path": [train, second]}]
    assert found["configs"] == [{"config_name": "default", "default": True, "data_files": files}]
    features = found["dataset_info"]["features"]
    assert [feature["name"] for feature in features] == [column.name for column in COLUMNS]
    assert features[1]["dtype"] == {"class_label": {"names": {str(i): name for i, name in enumerate(CLASSES)}}}


def test_after_a_run_without_rows_nobody_reads_those_of_an_earlier_one(disk: Folder) -> None:
    carded(disk)
    ledger = Ledger(disk, "9f9f9f9f" + RUN[8:])
    write_card(disk, manifest_of((shard_of(0),), [commit_shard(ledger, shard_of(0), data=None, counts=Counts())]))
    assert disk.read(FILES) == b""
    with duckdb.connect() as connection:
        connection.execute(disk.read(VIEW).decode())
        assert connection.execute("SELECT count(*) FROM rows").fetchall() == [(0,)]
        assert connection.execute("SELECT row_id, label_name, attacked FROM rows").fetchall() == []
    with pytest.raises(datasets.exceptions.DataFilesNotFoundError):
        datasets.load_dataset(disk.url, cache_dir=f"{disk.url}-cache")


def test_the_list_names_the_files_one_by_one_and_says_whose_they_are(folder: Folder) -> None:
    manifest = carded(folder)
    assert folder.read(FILES).decode().split() == [file.path for file in manifest.data_files]
    assert tells_of(folder, manifest) and tells_of(folder, Summary.of(manifest))
    assert not tells_of(folder, manifest.model_copy(update={"finished": "2026-01-02T01:00:00Z"}))
    folder.delete(VIEW)
    assert not tells_of(folder, manifest)


def test_the_same_manifest_gives_the_same_bytes(disk: Folder) -> None:
    manifest = carded(disk, lost=1)
    before = [disk.read(path) for path in ("README.md", "croissant.json")]
    write_card(disk, manifest)
    assert [disk.read(path) for path in ("README.md", "croissant.json")] == before


def test_the_body_counts_by_recipe(disk: Folder) -> None:
    carded(disk, lost=1)
    body = disk.read("README.md").decode()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")]
    assert ["pgd", "norm linf, eps 8/255, steps 10", "5", "50.0%", "10", "1"] in rows
    assert ["augment", "ops hflip, variants 1", "3", "50.0%", "6", "0"] in rows
    assert ["victim", "-", f"`{'1' * 64}`"] in rows
    assert f"run {RUN}, finished 2026-01-01T01:00:00Z, complete" in body
    assert "failed" not in body


def test_the_card_tells_the_accuracy_before_and_under_each_untargeted_attack(disk: Folder) -> None:
    manifest = carded(disk)
    untargeted, targeted = {"kind": "attack", "name": "pgd"}, {"kind": "attack", "name": "bim", "target": "next"}
    counts = Counts(rows_in=40, expected=40, rows_out=30, dropped=10, attacked=36, success=30)
    outputs = tuple(
        manifest.outputs[i].model_copy(update={"recipe": recipe, "counts": counts})
        for i, recipe in enumerate((0, 0, 1))
    )
    model = {"factory": "zoo:net", "members": [{"factory": "zoo:other"}]}
    job = manifest.job | {"recipes": [untargeted, targeted], "model": model}
    write_card(disk, manifest.model_copy(update={"outputs": outputs, "job": job}))
    body = disk.read("README.md").decode()
    assert "| 1. pgd | 80 | 90.0% | 15.0% |" in body
    assert "2. bim" not in body
    assert f"| victim | zoo:net and 1 more | `{'1' * 64}` |" in body


def test_the_licence_is_what_the_job_says(disk: Folder) -> None:
    manifest = carded(disk)
    assert head(disk)["license"] == "unknown"
    assert "Not stated: set `output.license`" in disk.read("README.md").decode()
    assert "license" not in json.loads(disk.read("croissant.json"))
    write_card(disk, manifest.model_copy(update={"job": manifest.job | {"output": {"license": "cc-by-4.0"}}}))
    assert head(disk)["license"] == "cc-by-4.0"
    assert "## Licence\n\ncc-by-4.0. The licences of the source" in disk.read("README.md").decode()
    assert json.loads(disk.read("croissant.json"))["license"] == "cc-by-4.0"


def test_croissant_tells_source_weights_and_run_in_prov(disk: Folder) -> None:
    manifest = carded(disk)
    job = manifest.job | {"model": {"weights": "s3://models/a.safetensors"}}
    document = croissant(manifest.model_copy(update={"job": job}))
    assert document["prov:wasDerivedFrom"]["@id"] == "s3://b/d"
    assert document["prov:wasGeneratedBy"]["@id"] == f"urn:uuid:{RUN}"
    assert [used["@id"] for used in document["prov:wasGeneratedBy"]["prov:used"]] == ["s3://models/a.safetensors"]
    assert document["prov:wasAttributedTo"]["@type"] == "prov:SoftwareAgent"
    *files, _ = document["distribution"]
    assert {file["prov:wasGeneratedBy"]["@id"] for file in files} == {f"urn:uuid:{RUN}"}
    assert {"rai:dataCollection", "rai:dataUseCases", "rai:dataLimitations"} <= document.keys()


def test_an_incomplete_run_says_so(disk: Folder) -> None:
    receipts = [commit_shard(Ledger(disk, RUN), shard_of(0))]
    failure = Failure(index=1, key="k", attempts=3, error="boom")
    write_card(disk, manifest_of((shard_of(0),), receipts, failures=(failure,)))
    body = disk.read("README.md").decode()
    assert "incomplete" in body
    assert "**1 shards failed and are missing**" in body


def test_croissant_names_every_file_with_its_digest(disk: Folder) -> None:
    manifest = carded(disk)
    document = json.loads(disk.read("croissant.json"))
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    *files, file_set = document["distribution"]
    assert {(f["contentUrl"], f["sha256"]) for f in files} == {
        (output.data.path, output.data.sha256) for output in manifest.outputs if output.data
    }
    assert file_set["includes"] == [file.path for file in manifest.data_files]
    classes, rows = document["recordSet"]
    assert [row["classes/name"] for row in classes["data"]] == list(CLASSES)
    assert [field["name"] for field in rows["field"]] == [column.name for column in COLUMNS]
    identifiers = re.findall(r'"@id": "([^"]+)"', json.dumps(document))
    assert set(re.findall(r'"(?:field|fileSet)": \{"@id": "([^"]+)"', json.dumps(document))) <= set(identifiers)


def test_versions_name_no_place() -> None:
    found = versions()
    assert {"python", "torch", "pyarrow", "hardset"} <= set(found)
    assert not any("/" in value for value in found.values())


@pytest.mark.parametrize("eps", [{"min": "2/255", "max": "8/255"}])
def test_a_range_of_budgets_reads_as_one(disk: Folder, eps: dict[str, str]) -> None:
    manifest = finished_run(disk, SHARDS[:1])
    recipe = {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": eps, "target": None}
    write_card(disk, manifest.model_copy(update={"job": manifest.job | {"recipes": [recipe]}}))
    assert "| fgsm | norm linf, eps 2/255 to 8/255 |" in disk.read("README.md").decode()


def test_mlcroissant_finds_neither_error_nor_warning(disk: Folder) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    manifest = carded(disk)
    model = {"weights": "s3://models/a.safetensors"}
    job = manifest.job | {"output": {"license": "cc-by-4.0"}, "model": model}
    write_card(disk, manifest.model_copy(update={"job": job}))
    dataset = mlcroissant.Dataset(jsonld=f"{disk.url}/croissant.json")
    assert (dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.warnings) == (set(), set())
    kept = dataset.metadata.to_json()
    assert {"license", "prov:wasDerivedFrom", "prov:wasGeneratedBy", "rai:dataLimitations"} <= kept.keys()
