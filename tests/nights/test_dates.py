"""The logical date: what is asked for, what it stands in place of, and what it makes another run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.jobs.terminal.dates import dated
from hardset.pipeline.dataset.provenance.lineage import event
from hardset.pipeline.planning.plan import make_plan
from hardset.schemas.dates import logical_date
from hardset.schemas.digests import plan_digest, run_id
from hardset.schemas.errors import JobError
from hardset.schemas.reading.loading import parse_job
from tests.support import document

NEARLY_MIDNIGHT = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day"),
    [(None, "2026-03-28"), ("Europe/Berlin", "2026-03-29"), ("America/New_York", "2026-03-28"), ("UTC", "2026-03-28")],
)
def test_auto_is_the_date_of_the_zone(zone: str | None, day: str) -> None:
    assert logical_date("auto", zone, NEARLY_MIDNIGHT) == day


def test_auto_keeps_to_the_zones_clock_when_it_changes() -> None:
    """Berlin is two hours ahead in summer: 22:30 UTC is the next day there, in winter it is not."""
    assert logical_date("auto", "Europe/Berlin", datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "2026-07-02"
    assert logical_date("auto", "Europe/Berlin", datetime(2026, 12, 1, 22, 30, tzinfo=UTC)) == "2026-12-01"


@given(st.dates())
def test_a_date_that_is_given_is_the_date(day: Any) -> None:
    assert logical_date(day.isoformat(), None, NEARLY_MIDNIGHT) == day.isoformat()


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        ("today", None, "--logical-date: got 'today'; wants a date such as 2026-11-25, or auto"),
        ("20261125", None, "wants a date"),
        ("2026-02-30", None, "wants a date"),
        ("auto", "Berlin", "--time-zone: got 'Berlin'; wants a name of the IANA"),
        ("auto", "../etc/passwd", "--time-zone"),
        ("auto", "", "--time-zone"),
        ("2026-11-25", "UTC", "--time-zone: a date that is given needs none"),
        (None, "UTC", "--time-zone: only counts with"),
    ],
)
def test_what_is_no_date_or_zone_is_refused(text: str | None, zone: str | None, message: str) -> None:
    with pytest.raises(JobError) as refusal:
        dated([], text, zone)
    assert message in str(refusal.value)


def job_with(**changes: Any) -> Any:
    return document({"victim": "/w/{date}/v.safetensors", "generator": "/w/{date}.pt"}, "/o/{date}", **changes)


def test_the_date_stands_in_paths_and_weights() -> None:
    recipe = {"kind": "sample", "generator": {"weights": "/g/{date}/{date}.safetensors"}, "per_class": 1}
    source = {"format": "parquet", "path": "s3://b/{date}/*.parquet"}
    job = parse_job(job_with(source=source, recipes=[recipe]), ["logical_date=2026-11-25"])
    assert job.logical_date == "2026-11-25"
    assert job.source.path == "s3://b/2026-11-25/*.parquet"  # type: ignore[union-attr]
    assert job.output.path == "/o/2026-11-25"
    assert job.model is not None
    assert job.model.weights == "/w/2026-11-25/v.safetensors"
    assert job.recipes[0].generator.weights == "/g/2026-11-25/2026-11-25.safetensors"  # type: ignore[union-attr]
    assert parse_job(job.model_dump(mode="json")) == job


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"job: output.path: holds \{date\}, and there is no date to put there; give --logical-date"),
        (["output.path=/o/{day}"], r"output.path: holds \{day\}; wants no placeholder but \{date\}"),
        (["model.weights='{}'"], r"model.weights: holds \{\}; wants no placeholder"),
        (["logical_date=tomorrow"], r"logical_date: got 'tomorrow'; wants a date as YYYY-MM-DD"),
        (["logical_date=20261125"], r"logical_date: got 20261125; wants a date"),
        (["logical_date=2026-11-25 10:00:00"], r"logical_date: got .*; wants a date"),
    ],
)
def test_placeholders_that_cannot_be_filled_are_refused(overrides: list[str], message: str) -> None:
    paths = {"victim": "/w/v.safetensors", "generator": ""}
    with pytest.raises(JobError, match=message):
        parse_job(document(paths, "/o/{date}"), overrides)


def test_braces_of_other_keys_are_left_alone() -> None:
    source = {"format": "parquet", "path": "/s/{a,b}.parquet", "image": "{date}"}
    job = parse_job(document({"victim": "/w/v.pt", "generator": ""}, "/o", source=source))
    assert job.source.path == "/s/{a,b}.parquet"  # type: ignore[union-attr]
    assert job.source.image == "{date}"  # type: ignore[union-attr]


def test_another_date_is_another_run_of_the_same_shards(tmp_path: Path) -> None:
    job = job_without_model(tmp_path)
    plain, first, second = (
        make_plan(parse_job(job, overrides))
        for overrides in ([], ["logical_date=2026-11-25"], ["logical_date=2026-11-26"])
    )
    assert plain.logical_date is None
    assert second.logical_date == "2026-11-26"
    assert len({plain.run_id, first.run_id, second.run_id}) == 3
    assert plain.shards == first.shards == second.shards
    keys = [shard.key for shard in plain.shards]
    assert plain.run_id == run_id(plan_digest("test", keys))
    facets = event(first, "out", "START", "2026-11-25T03:00:00Z")["run"]["facets"]
    assert facets["nominalTime"]["nominalStartTime"] == "2026-11-25T00:00:00Z"
    assert "nominalTime" not in event(plain, "out", "START", "2026-11-25T03:00:00Z")["run"]["facets"]


def job_without_model(place: Path) -> dict[str, Any]:
    recipe = {"kind": "augment", "ops": [{"name": "hflip"}, {"name": "crop", "padding": 7}]}
    return document({"victim": "", "generator": ""}, place / "out", model=None, recipes=[recipe])


def test_a_crop_that_can_leave_a_black_image_is_refused(tmp_path: Path) -> None:
    job = job_without_model(tmp_path)
    assert make_plan(parse_job(job)).shards
    with pytest.raises(JobError, match=r"recipes.0.ops.1.padding: got 8, and rows are 8 x 8 .* wants at most 7"):
        make_plan(parse_job(job, ["recipes.0.ops.1.padding=8"]))
