"""Job files and results as JSON Schema, for editors and for checks."""

from __future__ import annotations

from typing import Any

from hardset.schemas.job.evaluation import EvaluationJob, MeasuredAttack
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import RESULT

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def result_schema() -> dict[str, Any]:
    """JSON Schema of the last line of stdout. Keys that it does not know are let through: results may grow."""
    body = RESULT.json_schema()
    for record in body["$defs"].values():
        record.pop("additionalProperties", None)
    return {"$schema": DIALECT, **body, "title": "hardset result"}


def evaluation_schema() -> dict[str, Any]:
    """JSON Schema of the job file of an evaluation."""
    body = EvaluationJob.model_json_schema()
    for name, record in body["$defs"].items():
        if name != MeasuredAttack.__name__:  # which stands alone, and is told apart from nothing
            _require_tags(record)
    return {"$schema": DIALECT, **body, "title": "hardset evaluation"}


def job_schema() -> dict[str, Any]:
    """JSON Schema of a job file."""
    body = Job.model_json_schema()
    # OpenAPI's key has no form for attacks, whose records are told apart by a second key.
    body["properties"]["recipes"]["items"].pop("discriminator")
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
