"""The in-toto statement: what it says of a run, and that no change of it goes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.provenance.inputs import uri_of, weights_of
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.provenance.statement import statement, statement_faults, statement_path, write_statement
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.commit import commit_run
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.records.run import Counts, Manifest, SourceRange
from tests.dataset.examples import RUN, commit_shard, manifest_of, plan_of, shard_of
from tests.support import job_of, make_here

SHARDS = (shard_of(0), shard_of(1))


@pytest.fixture
def manifest(disk: Folder) -> Manifest:
    ledger = Ledger(disk, RUN)
    plan = plan_of(SHARDS)
    receipts = [commit_shard(ledger, shard, lost=lost) for shard, lost in zip(SHARDS, (1, 0), strict=True)]
    with Lineage(disk, plan) as lineage:
        return commit_run(ledger, plan, manifest_of(SHARDS, receipts), lineage)


def test_it_names_files_job_inputs_and_times(manifest: Manifest, disk: Folder) -> None:
    ranges = [SourceRange(split="train", file="a.parquet", start=i, stop=i + 3, digest="d" * 64) for i in (0, 3)]
    found = statement(plan_of(SHARDS).model_copy(update={"ranges": tuple(ranges)}), manifest)
    assert found is not None
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    for subject in found["subject"]:
        assert subject["digest"] == {"sha256": sha256_hex(disk.read(subject["name"]))}
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
    [lost] = details["byproducts"]
    assert lost["name"].startswith("_hardset/quarantine/")


def test_a_run_without_files_has_none(disk: Folder) -> None:
    manifest = manifest_of(SHARDS[:1], [commit_shard(Ledger(disk, RUN), SHARDS[0], data=None, counts=Counts())])
    assert statement(plan_of(), manifest) is None
    assert write_statement(disk, plan_of(), manifest) == manifest
    assert list(statement_faults(disk, manifest)) == []


def test_what_was_written_has_no_fault(manifest: Manifest, folder: Folder) -> None:
    assert list(statement_faults(folder, write_statement(folder, plan_of(SHARDS), manifest))) == []


def renamed(found: dict[str, Any]) -> None:
    found["subject"][0]["name"] = "data/other.parquet"


def swapped(found: dict[str, Any]) -> None:
    first, second = found["subject"]
    first["digest"], second["digest"] = second["digest"], first["digest"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (renamed, ["its SHA-256", "data/other.parquet is not in the manifest", "is not among its subjects"]),
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
    faults = list(statement_faults(disk, manifest))
    assert len(faults) == len(told)
    assert all(any(part in fault for fault in faults) for part in told)


def test_verify_misses_a_deleted_one_and_passes_runs_of_versions_without(
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
    assert verify(folder, sample=0).faults == []


def test_weights_are_found_for_every_role() -> None:
    job = {
        "model": {"weights": "a", "members": [{"weights": "b"}]},
        "transfer_to": [{"name": "far", "weights": "c"}],
        "recipes": [{"kind": "sample", "generator": {"weights": "d"}}],
    }
    roles = ["victim", "victim:0", "victim:1", "transfer:far", "generator:0"]
    found = {role: place for role, place, _ in weights_of(job, dict.fromkeys(roles, "x"))}
    assert found == {"victim:0": "a", "victim:1": "b", "transfer:far": "c", "generator:0": "d"}
