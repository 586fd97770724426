"""The in-toto statement of a run: SLSA v1 provenance over its data files and all its records, ready to be signed.

Statement v1 (https://in-toto.io/Statement/v1) with predicate https://slsa.dev/provenance/v1, as plain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hardset.pipeline.dataset.provenance.card import card_files
from hardset.pipeline.dataset.provenance.inputs import source_uri, uri_of, weights_of
from hardset.pipeline.dataset.records.ledger import RUNS, receipt_paths
from hardset.pipeline.dataset.records.seals import sealed, unsealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.records.run import DataFile, Manifest, Plan
from hardset.schemas.records.summary import Summary

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:hardset:generate:v1"
BUILDER = "urn:hardset:builder"
MANIFEST_DIGEST = "hardsetManifest"
"""Name of the manifest's digest: the SHA-256 of its file without the statement's digest, which it holds in turn."""
_OWN_DIGEST = re.compile(rb'"statement_sha256":"[0-9a-f]{64}"')
_READ = re.compile(r"plan\.json|openlineage(-\d+)?\.jsonl")


def statement(plan: Plan, manifest: Manifest, records: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The provenance of the data files of `manifest`. `records`: digests of the other files of the run, by path.

    The manifest holds the statement's digest, so that its own is taken without that.
    """
    lost = [output.quarantine for output in manifest.outputs if output.quarantine is not None]
    of_manifest = {
        "name": manifest_path(manifest.run_id),
        "digest": {MANIFEST_DIGEST: manifest_digest(sealed(manifest))},
    }
    return {
        "_type": STATEMENT_TYPE,
        "subject": [*map(_resource, manifest.data_files), of_manifest],
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
                "byproducts": [
                    *map(_resource, lost),
                    *({"name": path, "digest": dict(digests)} for path, digests in sorted(records.items())),
                ],
            },
        },
    }


def write_statement(
    folder: Folder, plan: Plan, manifest: Manifest, events: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> Manifest:
    """Writes `statement.intoto.json` beside the manifest to be. Returns the manifest with the statement's digest.

    `events`: digests that files of events will have, by path.
    """
    found = statement(plan, manifest, {**record_digests(folder, manifest), **events})
    content = (canonical_json(found) + "\n").encode()
    folder.write(statement_path(manifest.run_id), content)
    return manifest.model_copy(update={"statement_sha256": sha256_hex(content)})


def record_digests(folder: Folder, manifest: Manifest) -> dict[str, dict[str, str]]:
    """Digests by path of all that a run leaves beside data, quarantine, manifest and statement.

    Plan, events, and receipts of all shards that the manifest lists, also those of earlier runs, are read. Summary and
    card are those that are written after it.
    """
    home = f"{RUNS}/{manifest.run_id}"
    paths = [path for path in folder.list(f"{home}/") if _READ.fullmatch(path, len(home) + 1)]
    for run in sorted({output.run_id for output in manifest.outputs}):
        paths += receipt_paths(folder, [one.key for one in manifest.outputs if one.run_id == run], of_run=run)
    found = {path: sha256_hex(data) for path, data in zip(paths, folder.read_many(paths), strict=True)}
    found |= {path: sha256_hex(data) for path, data in card_files(manifest).items()}
    found[f"{home}/summary.json"] = sha256_hex(sealed(Summary.of(manifest)))
    return {path: {"sha256": sha256} for path, sha256 in found.items()}


def manifest_path(run_id: str) -> str:
    """Path of the manifest of a run, relative to the dataset folder."""
    return f"{RUNS}/{run_id}/manifest.json"


def manifest_digest(content: bytes) -> str:
    """SHA-256 of the manifest in a file as it would be without the statement's digest and its seal."""
    return sha256_hex(_OWN_DIGEST.sub(b'"statement_sha256":null', unsealed(content)))


def statement_path(run_id: str) -> str:
    """Path of the statement of a run, relative to the dataset folder."""
    return f"{RUNS}/{run_id}/statement.intoto.json"


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
