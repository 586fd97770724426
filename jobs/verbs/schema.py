"""`hardset schema`: job files and results as JSON Schema, for editors and for checks; the row contract as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import RESULT
from hardset.schemas.rows.documentation import rows_document

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(
    rows: Annotated[
        bool, typer.Option("--rows", help="The columns of the output instead: types and meanings.")
    ] = False,
    result: Annotated[
        bool, typer.Option("--result", help="Of what `generate` and `submit` leave with --json, and not of job files.")
    ] = False,
) -> None:
    """Print the JSON Schema (Draft 2020-12) of job files: every key with its type, default and meaning.

    Reads and writes nothing else. Returns 0.
    """
    if rows and result:
        raise JobError("--rows and --result exclude each other: ask for one document at a time")
    document = rows_document() if rows else result_schema() if result else job_schema()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def result_schema() -> dict[str, Any]:
    """JSON Schema of the last line of stdout. Keys that it does not know are let through: results may grow."""
    body = RESULT.json_schema()
    for record in body["$defs"].values():
        record.pop("additionalProperties", None)
    return {"$schema": DIALECT, **body, "title": "hardset result"}


def job_schema() -> dict[str, Any]:
    """JSON Schema of a job file."""
    body = Job.model_json_schema()
    for record in (body, *body.get("$defs", {}).values()):
        _require_tags(record)
    return {"$schema": DIALECT, **body, "title": "hardset job file"}


def _require_tags(record: dict[str, Any]) -> None:
    """Keys that tell the members of a union apart have a default in Python, yet a file must give them."""
    tags = [key for key, value in record.get("properties", {}).items() if "const" in value]
    for key in tags:
        record["properties"][key].pop("default", None)
    if tags:
        record["required"] = [*tags, *(key for key in record.get("required", ()) if key not in tags)]
