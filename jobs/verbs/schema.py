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
    evaluation: Annotated[bool, typer.Option("--evaluation", help="Of job files of `hardset evaluate`.")] = False,
    result: Annotated[
        bool, typer.Option("--result", help="Of what `generate` and `submit` leave with --json, and not of job files.")
    ] = False,
) -> None:
    """Print the JSON Schema (Draft 2020-12) of job files: every key with its type, default and meaning.

    Reads and writes nothing else. Returns 0.
    """
    from hardset.schemas.reading.json_schema import evaluation_schema, job_schema, result_schema
    from hardset.schemas.rows.documentation import rows_document

    asked = {"--rows": rows, "--result": result, "--evaluation": evaluation}
    wanted = [name for name, one in asked.items() if one]
    if len(wanted) > 1:
        raise JobError(f"{' and '.join(wanted)} exclude each other: ask for one document at a time")
    makers = {"--rows": rows_document, "--result": result_schema, "--evaluation": evaluation_schema}
    document = makers[wanted[0]]() if wanted else job_schema()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
