"""The in-toto statement of a run: SLSA v1 provenance over its data files, ready to be signed.

Statement v1 (https://in-toto.io/Statement/v1) with predicate https://slsa.dev/provenance/v1, as plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hardset.pipeline.dataset.provenance.inputs import source_uri, uri_of, weights_of
from hardset.pipeline.dataset.records.ledger import RUNS
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.records.run import DataFile, Manifest, Plan

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:hardset:generate:v1"
BUILDER = "urn:hardset:builder"


def statement(plan: Plan, manifest: Manifest) -> dict[str, Any] | None:
    """The provenance of the data files of `manifest`; None where there are none, as in-toto wants a subject."""
    files = manifest.data_files
    if not files:
        return None
    lost = [output.quarantine for output in manifest.outputs if output.quarantine is not None]
    return {
        "_type": STATEMENT_TYPE,
        "subject": list(map(_resource, files)),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"job": manifest.job},
                "internalParameters": {"contract": manifest.contract, "recipes": manifest.recipes},
                "resolvedDependencies": [*_models(manifest), *_source(plan)],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": manifest.environment},
                "metadata": {
                    "invocationId": f"urn:uuid:{manifest.run_id}",
                    "startedOn": manifest.started,
                    "finishedOn": manifest.finished,
                },
                "byproducts": list(map(_resource, lost)),
            },
        },
    }


def write_statement(folder: Folder, plan: Plan, manifest: Manifest) -> Manifest:
    """Writes `statement.intoto.json` beside the manifest to be. Returns the manifest with the statement's digest."""
    found = statement(plan, manifest)
    if found is None:
        return manifest
    content = (canonical_json(found) + "\n").encode()
    folder.write(statement_path(manifest.run_id), content)
    return manifest.model_copy(update={"statement_sha256": sha256_hex(content)})


def statement_path(run_id: str) -> str:
    """Path of the statement of a run, relative to the dataset folder."""
    return f"{RUNS}/{run_id}/statement.intoto.json"


def statement_faults(folder: Folder, manifest: Manifest) -> Iterator[str]:
    """Faults of the statement of a run, one sentence part each; none for runs that wrote no statement."""
    if manifest.statement_sha256 is None:
        return
    try:
        content = folder.read(statement_path(manifest.run_id))
    except FileNotFoundError:
        yield "is missing"
        return
    if sha256_hex(content) != manifest.statement_sha256:
        yield "its SHA-256 is not the one in the manifest"
    try:
        subjects = {subject["name"]: subject["digest"]["sha256"] for subject in json.loads(content)["subject"]}
    except (ValueError, KeyError, TypeError):
        yield "is no in-toto statement"
        return
    files = {file.path: file.sha256 for file in manifest.data_files}
    for name in sorted(subjects.keys() | files.keys()):
        if name not in files:
            yield f"its subject {name} is not in the manifest"
        elif subjects.get(name) != files[name]:
            told = "has another digest than in the manifest" if name in subjects else "is not among its subjects"
            yield f"{name} {told}"


def _resource(file: DataFile) -> dict[str, Any]:
    return {"name": file.path, "digest": {"sha256": file.sha256}}


def _models(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Weight files by role. Weights that a factory starts with have a digest over tensors, which is no file's."""
    for role, place, sha256 in weights_of(manifest.job, manifest.models):
        named = {"uri": uri_of(place)} if place else {}
        yield {"name": role, **named, "digest": {"sha256" if place else "hardsetTensors": sha256}}


def _source(plan: Plan) -> Iterator[dict[str, Any]]:
    """Files of the source. A digest is that of the content or of the store's entity tag, as the plan has it."""
    uri = source_uri(plan.job)
    for file, digest in dict.fromkeys((item.file, item.digest) for item in plan.ranges):
        yield {"name": f"source:{file}", "uri": uri, "digest": {"hardsetSource": digest}}
