"""Croissant 1.1: the manifest as dataset catalogues read it (https://docs.mlcommons.org/croissant/)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hardset.pipeline.dataset.provenance.inputs import source_uri, uri_of, weights_of
from hardset.schemas.records.run import DataFile, Manifest
from hardset.schemas.rows.contract import IMAGE, Column, columns_of
from hardset.schemas.rows.user_columns import recorded_columns

_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_TYPES = {"string": "sc:Text", "bool": "sc:Boolean", "float": "cr:Float32", "double": "cr:Float64"}
_TYPES |= {"int32": "cr:Int32", "int64": "cr:Int64", "date32[day]": "sc:Date", "timestamp[us]": "sc:DateTime"}
_PROVENANCE = {"source_key": "prov:wasDerivedFrom", "run_id": "prov:wasGeneratedBy", "model_id": "prov:used"}


def croissant(manifest: Manifest) -> dict[str, Any]:
    """The JSON-LD document.

    The licence is the job's, where it names one; creator and URL are left to the publisher.
    """
    name = manifest.job["name"]
    files = [(output.data, output.run_id) for output in manifest.outputs if output.data is not None]
    license_name = manifest.job.get("output", {}).get("license")
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"Hardened image training set {name}: {manifest.totals.rows_out:,} adversarial, generated or "
        f"augmented images of {len(manifest.classes)} classes, each with the provenance to audit and re-create it.",
        **({"license": license_name} if license_name else {}),
        "version": f"1.0.0+{manifest.content_sha256[:12]}",
        "datePublished": manifest.finished,
        "citeAs": f"{name}, made by hardset, run {manifest.run_id}, content SHA-256 {manifest.content_sha256}",
        "rai:dataCollection": "Made by a program from a source of images: see recipe_id, source_key and seed of a row.",
        "rai:dataUseCases": "Training image classifiers for robustness, and testing the classifiers named in the rows.",
        "rai:dataLimitations": "Verdicts hold for the model named in each row and for the stored pixels, in float32. "
        "The share of fooled rows is no robust accuracy of another model. Labels of generated rows are the classes "
        "asked for. The licences of source and models carry over to the rows.",
        **_provenance(manifest),
        "distribution": [
            *(_file_object(file, run_id) for file, run_id in files),
            _file_set([file.path for file, _ in files]),
        ],
        "recordSet": [_classes(manifest.classes), _rows(manifest.contract, recorded_columns(manifest.user_columns))],
    }


def _provenance(manifest: Manifest) -> dict[str, Any]:
    """Provenance in PROV-O, as Croissant 1.1 recommends: source and weights, and the run that used them."""
    used = [
        {"@id": uri_of(place) if place else f"urn:hardset:sha256:{sha256}", "@type": "prov:Entity", "name": role}
        for role, place, sha256 in weights_of(manifest.job, manifest.models)
    ]
    return {
        "prov:wasDerivedFrom": {"@id": source_uri(manifest.job), "@type": "prov:Entity"},
        "prov:wasAttributedTo": {
            "@id": f"urn:hardset:{manifest.environment.get('hardset', 'unknown')}",
            "@type": "prov:SoftwareAgent",
        },
        "prov:wasGeneratedBy": {
            "@id": f"urn:uuid:{manifest.run_id}",
            "@type": "prov:Activity",
            "prov:startedAtTime": manifest.started,
            "prov:endedAtTime": manifest.finished,
            "prov:used": used,
        },
    }


def _file_object(file: DataFile, run_id: str) -> dict[str, Any]:
    """`run_id`: of the run that made the file, which may be an earlier one."""
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
        "prov:wasGeneratedBy": {"@id": f"urn:uuid:{run_id}"},
    }


def _file_set(paths: Sequence[str]) -> dict[str, Any]:
    """Without `containedIn`: with it mlcroissant 1.1.1 validates and yields no rows."""
    return {
        "@type": "cr:FileSet",
        "@id": "data-files",
        "name": "data-files",
        "encodingFormat": "application/x-parquet",
        "includes": list(paths),
    }


def _classes(names: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/id"},
        "field": [
            {"@type": "cr:Field", "@id": "classes/id", "name": "id", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": "classes/name", "name": "name", "dataType": "sc:Text"},
        ],
        "data": [{"classes/id": number, "classes/name": name} for number, name in enumerate(names)],
    }


def _rows(contract: str, user: Sequence[Column]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "key": {"@id": "rows/row_id"},
        "field": [_field(column) for column in columns_of(contract, user)],
    }


def _field(column: Column) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "data-files"}, "extract": {"column": column.name}}
    if column.type == IMAGE:
        source["transform"] = {"jsonPath": "bytes"}
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"rows/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": "sc:ImageObject" if column.type == IMAGE else _TYPES[str(column.type)],
        "source": source,
    }
    if column.is_class:
        field["references"] = {"field": {"@id": "classes/id"}}
    if column.name in _PROVENANCE:
        field["equivalentProperty"] = _PROVENANCE[column.name]
    return field
