"""The in-toto statement: what it says of a run, and that no change of it goes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.audit.statement_checks import statement_faults
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.provenance.card import CARD_FILES
from hardset.pipeline.dataset.provenance.inputs import uri_of, weights_of
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.provenance.statement import (
    manifest_digest,
    manifest_path,
    statement,
    statement_path,
)
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.commit import commit_run
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, SourceRange
from tests.dataset.examples import RUN, commit_shard, manifest_of, plan_of, shard_of
from tests.support import job_of, make_here

SHARDS = (shard_of(0), shard_of(1))


@pytest.fixture
def manifest(disk: Folder) -> Manifest:
    ledger = Ledger(disk, RUN)
    plan = plan_of(SHARDS)
    ledger.write_plan(plan)
    receipts = [commit_shard(ledger, shard, lost=lost) for shard, lost in zip(SHARDS, (1, 0), strict=True)]
    with Lineage(disk, plan) as lineage:
        return commit_run(ledger, plan, manifest_of(SHARDS, receipts), lineage)


def test_it_names_files_job_inputs_and_times(manifest: Manifest, disk: Folder) -> None:
    ranges = [SourceRange(split="train", file="a.parquet", start=i, stop=i + 3, digest="d" * 64) for i in (0, 3)]
    found = statement(
        plan_of(SHARDS).model_copy(update={"ranges": tuple(ranges)}), manifest, {"plan.json": {"sha256": "e" * 64}}
    )
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    *data, record = found["subject"]
    assert len(data) == 2
    for subject in data:
        assert subject["digest"] == {"sha256": sha256_hex(disk.read(subject["name"]))}
    digest = manifest_digest(disk.read(manifest_path(RUN)))
    assert record == {"name": manifest_path(RUN), "digest": {"hardsetManifest": digest}}
    definition, details = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    assert definition["externalParameters"]["job"] == manifest.job
    assert definition["resolvedDependencies"] == [
        {"name": "victim", "digest": {"hardsetTensors": "1" * 64}},
        {"name": "source:a.parquet", "uri": "s3://b/d", "digest": {"hardsetSource": "d" * 64}},
    ]
    assert details["metadata"] == {
        "invocationId": f"urn:uuid:{RUN}",
        "startedOn": manifest.started,
        "finishedOn": manifest.finished,
    }
    lost, other = details["byproducts"]
    assert other == {"name": "plan.json", "digest": {"sha256": "e" * 64}}
    assert lost["name"].startswith("_hardset/quarantine/")


def test_a_run_without_files_has_one_of_its_records(disk: Folder) -> None:
    ledger, plan = Ledger(disk, RUN), plan_of(SHARDS[:1])
    ledger.write_plan(plan)
    receipt = commit_shard(ledger, SHARDS[0], data=None, counts=Counts())
    with Lineage(disk, plan) as lineage:
        manifest = commit_run(ledger, plan, manifest_of(SHARDS[:1], [receipt]), lineage)
    assert list(statement_faults(disk, manifest, plan)) == []
    [subject] = json.loads(disk.read(statement_path(RUN)))["subject"]
    assert subject["name"] == manifest_path(RUN)


def test_what_was_written_has_no_fault(manifest: Manifest, disk: Folder) -> None:
    assert list(statement_faults(disk, manifest, plan_of(SHARDS))) == []


def test_it_names_every_record_of_the_run(manifest: Manifest, disk: Folder) -> None:
    named = json.loads(disk.read(statement_path(RUN)))["predicate"]["runDetails"]["byproducts"]
    records = [path for path in disk.list(f"_hardset/runs/{RUN}/") if path != manifest_path(RUN)]
    wanted = {*records, *CARD_FILES, *disk.list("_hardset/quarantine/")} - {statement_path(RUN)}
    assert {one["name"] for one in named} == wanted
    assert len([path for path in records if "/receipts/" in path]) == 2
    for one in named:
        assert one["digest"]["sha256"] == sha256_hex(disk.read(one["name"])), one["name"]


@pytest.mark.parametrize("name", ["plan.json", "summary.json", "openlineage.jsonl", "receipts/000001-"])
def test_a_record_that_was_changed_and_sealed_again_is_named(manifest: Manifest, disk: Folder, name: str) -> None:
    (path,) = disk.list(f"_hardset/runs/{RUN}/{name}")
    disk.write(path, b" " + disk.read(path))
    assert f"{path} was changed since, as its digest there shows" in statement_faults(disk, manifest, plan_of(SHARDS))
    disk.delete(path)
    assert f"{path}, which it names, is missing" in statement_faults(disk, manifest, plan_of(SHARDS))


def renamed(found: dict[str, Any]) -> None:
    found["subject"][0]["name"] = "data/other.parquet"


def swapped(found: dict[str, Any]) -> None:
    first, second, _ = found["subject"]
    first["digest"], second["digest"] = second["digest"], first["digest"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            renamed,
            ["its SHA-256", "data/other.parquet is not in the manifest", "is not among its subjects"],
        ),
        (swapped, ["its SHA-256", "has another digest", "has another digest"]),
        (lambda found: found.pop("subject"), ["its SHA-256", "is no in-toto statement"]),
        (lambda found: found["predicate"]["buildDefinition"].update(buildType="x"), ["its SHA-256"]),
    ],
)
def test_any_change_is_noticed(manifest: Manifest, disk: Folder, change: Any, told: list[str]) -> None:
    path = statement_path(RUN)
    found = json.loads(disk.read(path))
    change(found)
    disk.write(path, json.dumps(found).encode())
    faults = list(statement_faults(disk, manifest, plan_of(SHARDS)))
    assert len(faults) == len(told)
    assert all(any(part in fault for fault in faults) for part in told)


def test_verify_misses_a_deleted_one_even_where_the_manifest_names_none(
    weights: dict[str, str], tmp_path: Path
) -> None:
    job = job_of(weights, tmp_path / "out", source={"format": "digits", "limit": 20})
    manifest, folder = make_here(job), Folder(job.output.path)
    assert verify(folder, sample=0).faults == []
    dependencies = json.loads(folder.read(statement_path(manifest.run_id)))["predicate"]["buildDefinition"]
    victim = dependencies["resolvedDependencies"][0]
    assert victim["uri"] == uri_of(weights["victim"])
    assert victim["digest"] == {"sha256": sha256_hex(Path(weights["victim"]).read_bytes())}
    folder.delete(statement_path(manifest.run_id))
    assert verify(folder, sample=0).faults == [f"{statement_path(manifest.run_id)}: is missing"]
    Ledger(folder, manifest.run_id).write_manifest(manifest.model_copy(update={"statement_sha256": None}))
    fault = "has no digest in the manifest, which names one in this version"
    assert verify(folder, sample=0).faults == [f"{statement_path(manifest.run_id)}: {fault}"]


def test_weights_are_found_for_every_role() -> None:
    job = {
        "model": {"weights": "a", "members": [{"weights": "b"}]},
        "transfer_to": [{"name": "far", "weights": "c"}],
        "recipes": [{"kind": "sample", "generator": {"weights": "d"}}],
    }
    roles = ["victim", "victim:0", "victim:1", "transfer:far", "generator:0"]
    found = {role: place for role, place, _ in weights_of(job, dict.fromkeys(roles, "x"))}
    assert found == {"victim:0": "a", "victim:1": "b", "transfer:far": "c", "generator:0": "d"}
