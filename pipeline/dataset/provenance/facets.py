"""Facets and datasets of OpenLineage events, each naming the published schema it follows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from importlib.metadata import distribution, version
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from hardset.pipeline.dataset.provenance.inputs import source_uri, uri_of, weights_of
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import digest
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.rows.contract import columns_of
from hardset.schemas.rows.user_columns import recorded_columns

PARENT, ROOT = "OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"
NAMESPACE = "OPENLINEAGE_NAMESPACE"
_SCHEMAS = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "datasetType": "1-0-1/DatasetTypeDatasetFacet",
    "documentation": "1-1-0/DocumentationJobFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "executionParameters": "1-0-0/ExecutionParametersRunFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "parent": "1-2-0/ParentRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "sourceCodeLocation": "1-1-0/SourceCodeLocationJobFacet",
    "storage": "1-0-1/StorageDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
}


def producer() -> str:
    """Producer of the events: hardset and its version."""
    return f"urn:hardset:{version('hardset')}"


def facet(kind: str, **content: Any) -> dict[str, Any]:
    """A facet of a kind that `_SCHEMAS` lists."""
    name = _SCHEMAS[kind]
    url = f"https://openlineage.io/spec/facets/{name}.json#/$defs/{name.partition('/')[2]}"
    return {"_producer": producer(), "_schemaURL": url, **content}


def parent_facet(environment: Mapping[str, str]) -> dict[str, Any]:
    """The run that started this one and the root of them all, as schedulers hand them over; none where none did.

    Both are `<namespace>/<job>/<run UUID>`, in the variables `PARENT` and `ROOT`; anything else is passed over.
    """
    parent, root = (_parsed_parent(environment.get(name, "")) for name in (PARENT, ROOT))
    if parent is None:
        return {}
    return {"parent": facet("parent", **parent, root=root or parent)}


def _parsed_parent(text: str) -> dict[str, Any] | None:
    namespace, _, rest = text.rpartition("/")[0].rpartition("/")
    try:
        run = str(uuid.UUID(text.rpartition("/")[2]))
    except ValueError:
        return None
    return {"run": {"runId": run}, "job": {"namespace": namespace, "name": rest}} if namespace and rest else None


def source_code_facet() -> dict[str, Any]:
    """Repository and commit, where hardset was installed from a repository (PEP 610)."""
    origin = json.loads(distribution("hardset").read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {})
    if "commit_id" not in commit:
        return {}
    url = public_name(origin["url"])
    return {"sourceCodeLocation": facet("sourceCodeLocation", type=commit["vcs"], url=url, version=commit["commit_id"])}


def input_datasets(plan: Plan, *, statistics: bool = False) -> list[dict[str, Any]]:
    """The source, and every weight file; with what was read of the source where `statistics` are asked for."""
    found = [] if not plan.ranges else [_source(plan, statistics)]
    for role, place, sha256 in weights_of(plan.job, plan.models):
        if place is None or any(named(place).items() <= other.items() for other in found):
            continue
        dataset = named(place)
        facets = {
            "datasetType": facet("datasetType", datasetType="MODEL", subType=role.partition(":")[0].upper()),
            "dataSource": facet("dataSource", name=dataset["namespace"], uri=uri_of(place)),
            "version": facet("version", datasetVersion=sha256),
        }
        found.append({**dataset, "facets": facets})
    return found


def _source(plan: Plan, statistics: bool) -> dict[str, Any]:
    dataset, (image, label) = _source_name(plan), _source_columns(plan)
    fields = [
        {"name": image, "type": "image", "ordinal_position": 1},
        {"name": label, "type": "integer", "ordinal_position": 2},
    ]
    ranges = [item for item in plan.ranges if not item.kept]
    read = sorted({(item.file, item.start, item.stop, item.digest) for item in ranges})
    found: dict[str, Any] = {
        **dataset,
        "facets": {
            "schema": facet("schema", fields=fields),
            "dataSource": facet("dataSource", name=dataset["namespace"], uri=source_uri(plan.job)),
            "version": facet("version", datasetVersion=digest(read)),
        },
    }
    if statistics:
        files = {f"{item.file}/{name}" for item in ranges for name in item.members or ("",)}
        rows = sum(item.rows for item in ranges)
        found["inputFacets"] = {"inputStatistics": facet("inputStatistics", rowCount=rows, fileCount=len(files))}
    return found


def output_dataset(plan: Plan, place: str, manifest: Manifest | None = None) -> dict[str, Any]:
    """The dataset folder at the public path or URL `place`; with its version and size where it is finished."""
    dataset = named(place)
    fields = [
        {"name": column.name, "ordinal_position": position, "description": column.meaning, **_type(column.type)}
        for position, column in enumerate(columns_of(plan.contract, recorded_columns(plan.user_columns)), 1)
    ]
    facets = {
        "schema": facet("schema", fields=fields),
        "dataSource": facet("dataSource", name=dataset["namespace"], uri=uri_of(place)),
        "storage": facet("storage", storageLayer=urlsplit(dataset["namespace"]).scheme or "file", fileFormat="parquet"),
    }
    if plan.ranges:
        facets["columnLineage"] = _column_lineage(plan)
    if manifest is None:
        return {**dataset, "facets": facets}
    files = manifest.data_files
    size = {"rowCount": sum(file.rows for file in files), "size": sum(file.bytes for file in files)}
    return {
        **dataset,
        "facets": {**facets, "version": facet("version", datasetVersion=manifest.content_sha256)},
        "outputFacets": {"outputStatistics": facet("outputStatistics", **size, fileCount=len(files))},
    }


def _type(kind: pa.DataType) -> dict[str, Any]:
    if not pa.types.is_struct(kind):
        return {"type": str(kind)}
    return {"type": "struct", "fields": [{"name": part.name, "type": str(part.type)} for part in kind]}


def _column_lineage(plan: Plan) -> dict[str, Any]:
    image, label = _source_columns(plan)

    def of(field: str, kind: str, subtype: str) -> dict[str, Any]:
        return {**_source_name(plan), "field": field, "transformations": [{"type": kind, "subtype": subtype}]}

    made = [of(image, "DIRECT", "TRANSFORMATION"), of(label, "INDIRECT", "CONDITION")]
    fields = {"image": {"inputFields": made}, "label": {"inputFields": [of(label, "DIRECT", "IDENTITY")]}}
    return facet("columnLineage", fields=fields)


def _source_columns(plan: Plan) -> tuple[str, str]:
    """Names of the image and the label in the source."""
    source = plan.job["source"]
    return source.get("image") or source.get("images", "image"), source.get("label") or source.get("labels", "label")


def _source_name(plan: Plan) -> dict[str, str]:
    source = plan.job["source"]
    return named(source["path"]) if source.get("path") else {"namespace": "hardset", "name": source["format"]}


def named(place: str) -> dict[str, str]:
    """Namespace and name of a public path or URL: scheme and host, then the path; local paths as declared."""
    if "://" not in place:
        return {"namespace": "file", "name": place}
    parts = urlsplit(place)
    return {"namespace": f"{parts.scheme}://{parts.netloc}", "name": parts.path.strip("/") or "/"}
