"""OpenLineage events of a run, kept as JSON lines beside its manifest (specification 2-0-2)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from pipeline.sinks.ledger import RUNS
from pipeline.storage import Folder
from schemas.digests import canonical_json
from schemas.records import Manifest

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
STATISTICS = "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json"


def write_lineage(folder: Folder, manifest: Manifest) -> None:
    """Writes START and the end of the run to `openlineage.jsonl`."""
    lines = [canonical_json(event) + "\n" for event in events(manifest, folder.name)]
    folder.write(f"{RUNS}/{manifest.run_id}/openlineage.jsonl", "".join(lines).encode())


def events(manifest: Manifest, output: str) -> list[dict[str, Any]]:
    """The run's two events: START with its inputs, then COMPLETE or FAIL with what it wrote to `output`."""
    end = "COMPLETE" if manifest.status == "complete" else "FAIL"
    producer = f"urn:hardset:{version('hardset')}"
    common = {
        "producer": producer,
        "schemaURL": SCHEMA,
        "run": {"runId": manifest.run_id},
        "job": {"namespace": "hardset", "name": manifest.job["name"]},
        "inputs": _inputs(manifest),
    }
    files = [item.data for item in manifest.outputs if item.data is not None]
    statistics = {
        "_producer": producer,
        "_schemaURL": STATISTICS,
        "rowCount": sum(file.rows for file in files),
        "size": sum(file.bytes for file in files),
        "fileCount": len(files),
    }
    written = [{**_dataset(output), "outputFacets": {"outputStatistics": statistics}}]
    return [
        {**common, "eventType": "START", "eventTime": manifest.started, "outputs": []},
        {**common, "eventType": end, "eventTime": manifest.finished, "outputs": written},
    ]


def _inputs(manifest: Manifest) -> list[dict[str, Any]]:
    source = manifest.job["source"]
    weights = (manifest.job.get("model") or {}).get("weights")
    places = [source.get("path") or source["format"], *([weights] if weights else [])]
    return [_dataset(place) for place in places]


def _dataset(place: str) -> dict[str, Any]:
    """Namespace and name of a place: scheme and host, then the path."""
    if "://" not in place:
        return {"namespace": "file", "name": place}
    parts = urlsplit(place)
    return {"namespace": f"{parts.scheme}://{parts.netloc}", "name": parts.path.strip("/") or "/"}
