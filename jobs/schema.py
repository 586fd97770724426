"""`hardset schema`: the job file as JSON Schema, for editors and for checks elsewhere; the row contract as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from schemas.documentation import rows_document
from schemas.job import Job

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(
    rows: Annotated[
        bool, typer.Option("--rows", help="The columns of the output instead: types and meanings.")
    ] = False,
) -> None:
    """Print the JSON Schema (Draft 2020-12) of job files: every key with its type, default and meaning.

    Reads and writes nothing else. Returns 0.
    """
    typer.echo(json.dumps(rows_document() if rows else job_schema(), indent=2, ensure_ascii=False))


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
