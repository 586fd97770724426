"""`hardset schema`: job files and results as JSON Schema, for editors and for checks; the row contract as JSON."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hardset.schemas.errors import JobError


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
    from hardset.schemas.reading.json_schema import job_schema, result_schema
    from hardset.schemas.rows.documentation import rows_document

    if rows and result:
        raise JobError("--rows and --result exclude each other: ask for one document at a time")
    document = rows_document() if rows else result_schema() if result else job_schema()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
