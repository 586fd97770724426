"""OpenLineage events: what a run's end says, and the published schema where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest


@pytest.fixture
def lines(small_dataset: Path) -> list[dict[str, Any]]:
    (file,) = small_dataset.glob("_hardset/runs/*/openlineage.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_starts_and_completes_with_its_counts(lines: list[dict[str, Any]], small_dataset: Path) -> None:
    start, end = lines
    (manifest_file,) = small_dataset.glob("_hardset/runs/*/manifest.json")
    manifest = json.loads(manifest_file.read_text())
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"] == manifest["run_id"]
    statistics = end["outputs"][0]["outputFacets"]["outputStatistics"]
    assert statistics["rowCount"] == manifest["totals"]["rows_out"]
    assert statistics["fileCount"] == len(list(small_dataset.glob("data/**/*.parquet")))
    assert start["eventTime"] <= end["eventTime"]


def test_events_fit_the_published_schema(lines: list[dict[str, Any]], shared_data: Path) -> None:
    (file,) = (shared_data / "schemas" / "openlineage").rglob("OpenLineage.json")
    schema = json.loads(file.read_text())
    validator = jsonschema.Draft202012Validator(
        {**schema, "$ref": "#/$defs/RunEvent", "oneOf": [{}]}, format_checker=jsonschema.FormatChecker()
    )
    for line in lines:
        validator.validate(line)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({key: value for key, value in lines[0].items() if key != "run"})
