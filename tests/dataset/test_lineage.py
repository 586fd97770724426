"""OpenLineage events: what they say of a run however it ends, and the published schemas where they are at hand."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from hardset.pipeline.dataset.provenance.facets import facet, named, parent_facet
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.commit import commit_run
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import HeldError, RunError
from hardset.schemas.records.run import Failure, SourceRange
from tests.dataset.examples import RUN, commit_shard, manifest_of, plan_of, shard_of

PARENT = str(uuid.UUID(int=1))
RANGE = SourceRange(split="train", file="a.parquet", start=0, stop=3, digest="d" * 64)
SHARDS = (shard_of(0), shard_of(1))
PLAN = plan_of(SHARDS).model_copy(update={"ranges": (RANGE,)})


def lines(folder: Folder) -> list[dict[str, Any]]:
    """The events of all starts, in their order."""
    paths = folder.list(f"_hardset/runs/{RUN}/openlineage")
    paths.sort(key=lambda path: (len(path), path))
    return [json.loads(line) for path in paths for line in folder.read(path).splitlines()]


def finish(folder: Folder, *, failed: bool = False) -> list[dict[str, Any]]:
    """The lines after a run of two shards, of which the second may have failed."""
    made = SHARDS[: 2 - failed]
    receipts = [commit_shard(Ledger(folder, RUN), shard) for shard in made]
    failures = (Failure(index=1, key="k", attempts=3, error="boom"),) if failed else ()
    with Lineage(folder, PLAN) as lineage:
        commit_run(Ledger(folder, RUN), PLAN, manifest_of(made, receipts, failures=failures), lineage)
    return lines(folder)


@pytest.fixture
def whole(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Events of every kind, with a parent and with weights."""
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/dag.task/{PARENT}")
    with pytest.raises(RunError), Lineage(disk, PLAN):
        raise RunError("disk full")
    with Lineage(disk, PLAN):
        pass
    finish(disk, failed=True)
    job = PLAN.job | {"model": {"weights": "/models/a b.safetensors"}}
    with Lineage(disk, PLAN.model_copy(update={"job": job})):
        pass
    return [*lines(disk), *finish(disk)]


def test_a_run_starts_and_completes_with_its_counts(small_dataset: Path) -> None:
    (file,) = small_dataset.glob("_hardset/runs/*/openlineage.jsonl")
    start, end = (json.loads(line) for line in file.read_text().splitlines())
    (manifest_file,) = small_dataset.glob("_hardset/runs/*/manifest.json")
    manifest = json.loads(manifest_file.read_text())
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"] == manifest["run_id"]
    statistics = end["outputs"][0]["outputFacets"]["outputStatistics"]
    assert statistics["rowCount"] == manifest["totals"]["rows_out"]
    assert statistics["fileCount"] == len(list(small_dataset.glob("data/**/*.parquet")))
    assert start["eventTime"] <= end["eventTime"]
    kinds = [item.get("facets", {}).get("datasetType", {}).get("subType") for item in end["inputs"]]
    assert kinds == [None, "GENERATOR", "VICTIM"]


def test_the_end_tells_what_was_read_and_written(folder: Folder) -> None:
    start, end = finish(folder)
    [source] = end["inputs"]
    assert (source["namespace"], source["name"]) == ("s3://b", "d")
    statistics = source["inputFacets"]["inputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"]) == (3, 1)
    [output] = end["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == "c" * 64
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 6
    assert output["facets"]["columnLineage"]["fields"]["image"]["inputFields"][0]["field"] == "image"
    assert "inputFacets" not in start["inputs"][0]
    assert start["run"]["facets"]["executionParameters"]["parameters"][1]["key"] == "recipes.0"


def test_an_incomplete_run_fails_and_says_why(disk: Folder) -> None:
    end = finish(disk, failed=True)[-1]
    assert end["eventType"] == "FAIL"
    assert end["run"]["facets"]["errorMessage"]["message"] == "1 shards failed, such as 1: boom"


@pytest.mark.parametrize(
    ("error", "told"), [(RunError("disk full"), "disk full"), (ValueError("key=secret"), "ValueError")]
)
def test_a_run_that_breaks_fails_without_quoting_others(disk: Folder, error: Exception, told: str) -> None:
    with pytest.raises(type(error)), Lineage(disk, PLAN):
        raise error
    assert [line["eventType"] for line in lines(disk)] == ["START", "FAIL"]
    assert lines(disk)[-1]["run"]["facets"]["errorMessage"]["message"] == told


def test_a_stopped_run_aborts_and_goes_on_in_the_same_lines(disk: Folder) -> None:
    with Lineage(disk, PLAN):
        pass
    assert [line["eventType"] for line in finish(disk)] == ["START", "ABORT", "START", "COMPLETE"]


def test_every_start_has_a_file_of_its_own(folder: Folder) -> None:
    """Whoever lost the output to another start leaves that one's events alone."""
    with pytest.raises(HeldError), Lineage(folder, PLAN):
        finish(folder)
        raise HeldError("another run has taken this output over")
    assert folder.list(f"_hardset/runs/{RUN}/openlineage") == [
        f"_hardset/runs/{RUN}/openlineage-2.jsonl",
        f"_hardset/runs/{RUN}/openlineage.jsonl",
    ]
    assert [line["eventType"] for line in lines(folder)] == ["START", "START", "COMPLETE"]


def test_a_parent_is_what_the_scheduler_hands_over() -> None:
    text = f"airflow/prod/dag.task/{PARENT}"
    wanted = {"run": {"runId": PARENT}, "job": {"namespace": "airflow/prod", "name": "dag.task"}}
    found = parent_facet({"OPENLINEAGE_PARENT_ID": text})["parent"]
    assert {key: found[key] for key in wanted} == wanted == found["root"]
    root = parent_facet({"OPENLINEAGE_PARENT_ID": text, "OPENLINEAGE_ROOT_PARENT_ID": f"a/b/{RUN}"})["parent"]["root"]
    assert root == {"run": {"runId": RUN}, "job": {"namespace": "a", "name": "b"}}
    for wrong in ("", "x", f"only/{PARENT}", "a/b/not-a-uuid", f"//{PARENT}"):
        assert parent_facet({"OPENLINEAGE_PARENT_ID": wrong}) == {}


def test_places_are_named_as_openlineage_wants_and_tell_of_no_machine() -> None:
    assert named("s3://b/d/e/") == {"namespace": "s3://b", "name": "d/e"}
    assert named("/data/out") == {"namespace": "file", "name": "/data/out"}
    assert named("out") == {"namespace": "file", "name": "out"}


def test_events_fit_the_published_schema(whole: list[dict[str, Any]], shared_data: Path) -> None:
    (file,) = (shared_data / "schemas" / "openlineage").rglob("OpenLineage.json")
    schema = json.loads(file.read_text())
    validator = jsonschema.Draft202012Validator(
        {**schema, "$ref": "#/$defs/RunEvent", "oneOf": [{}]}, format_checker=jsonschema.FormatChecker()
    )
    for line in whole:
        validator.validate(line)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({key: value for key, value in whole[0].items() if key != "run"})


def facets_in(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every facet of an event by its name."""
    if isinstance(value, list):
        return [found for item in value for found in facets_in(item)]
    if not isinstance(value, dict):
        return []
    here = [(key, item) for key, item in value.items() if isinstance(item, dict) and "_schemaURL" in item]
    return here + [found for item in value.values() for found in facets_in(item)]


def test_every_facet_fits_its_published_schema(whole: list[dict[str, Any]], shared_data: Path) -> None:
    schemas = [json.loads(file.read_text()) for file in (shared_data / "schemas" / "openlineage").glob("*.json")]
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas
    )
    by_id = {schema["$id"]: schema for schema in schemas}
    found = [item for event in whole for item in facets_in(event)]
    assert {name for name, _ in found} == {
        *("parent", "processing_engine", "executionParameters", "errorMessage", "jobType", "documentation", "schema"),
        *("dataSource", "version", "datasetType", "inputStatistics", "columnLineage", "storage", "outputStatistics"),
    }
    for name, content in found:
        url, _, place = content["_schemaURL"].partition("#")
        assert by_id[url]["properties"][name] == {"$ref": f"#{place}"}
        validator = jsonschema.Draft202012Validator(
            {"$ref": content["_schemaURL"]}, registry=registry, format_checker=jsonschema.FormatChecker()
        )
        validator.validate(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(
            {"$ref": facet("parent")["_schemaURL"]}, registry=registry, format_checker=jsonschema.FormatChecker()
        ).validate(facet("parent", run={}))
