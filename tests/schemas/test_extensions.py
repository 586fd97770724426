"""Names of a user's own code in job files: what is taken, what is refused, and what editors are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import UserSource
from hardset.schemas.job.training import Train
from hardset.schemas.reading.json_schema import job_schema
from hardset.schemas.reading.loading import parse_job

ENTRY_POINTS = """
[hardset.sources]
lines = acme.sources:LINES
parquet = acme.sources:PARQUET
[hardset.training_methods]
alp = acme.training:ALP
"""


def document(**changes: Any) -> dict[str, Any]:
    ops = [{"name": "acme.ops:SPARKLE", "share": 0.5, "p": 0.2, "colours": ["red", [1, {"deep": True}]]}]
    base = {
        "name": "own",
        "source": {"format": "acme.sources:LINES", "path": "s3://bucket/x", "height": 8, "size": 32},
        "recipes": [{"kind": "augment", "ops": ops}],
        "train": {"method": "acme.training:ALP", "settings": {"clean": 0.1}, "augment": ops},
        "output": {"path": "out"},
    }
    return base | changes


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose modules are not there: names alone are looked up."""
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_settings_are_kept_as_they_are_given_without_the_code() -> None:
    job = parse_job(document())
    again = Job.model_validate(job.model_dump(mode="json"))
    assert again == job
    assert job.model_dump(mode="json")["source"] == document()["source"]
    assert job.model_dump(mode="json")["recipes"][0]["ops"] == document()["recipes"][0]["ops"]


def test_editors_are_told_the_same() -> None:
    check = jsonschema.Draft202012Validator(job_schema())
    assert check.is_valid(document())
    for bad in ({"format": "parqet", "path": "x"}, {"format": "acme sources:LINES"}, {"path": "x"}):
        assert not check.is_valid(document(source=bad))
    assert not check.is_valid(document(recipes=[{"kind": "augment", "ops": [{"name": "hflop"}]}]))
    assert not check.is_valid(document(train={"method": "tardes"}))


@pytest.mark.usefixtures("installed")
def test_an_entry_point_is_read_as_the_import_path_it_stands_for() -> None:
    job = parse_job(document(source={"format": "lines", "path": "x"}, train={"method": "alp"}))
    assert isinstance(job.source, UserSource)
    assert job.source.format == "acme.sources:LINES"
    assert job.train is not None
    assert job.train.method == "acme.training:ALP"


@pytest.mark.usefixtures("installed")
def test_names_of_hardset_come_before_those_of_packages() -> None:
    assert not isinstance(parse_job(document(source={"format": "parquet", "path": "x"})).source, UserSource)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": {"format": "lines"}},
            "source.format: got 'lines'; wants digits, parquet, imagefolder, npz, ",
        ),
        ({"source": "acme.sources:LINES"}, "source: got 'acme.sources:LINES'; wants a mapping with format: digits"),
        (
            {"source": {"format": "a:b", "limit": 0}},
            "source.limit: got 0; wants a whole number from 1 to 1000000000000",
        ),
        ({"source": {"format": "a:b", "when": float("nan")}}, "source: got a mapping; wants text, finite numbers"),
        ({"source": {"format": "a:b:c"}}, "source.format: got 'a:b:c'; wants text like package.module:function"),
        ({"train": {"method": "alp"}}, "train.method: got 'alp'; wants shards, standard, fgsm_rs"),
        ({"train": {"settings": {"x": 1}}}, "train.settings: shards declares none of its own; remove them"),
    ],
)
def test_what_is_no_name_is_refused_in_a_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as refused:
        parse_job(document(**changes))
    assert str(refused.value).startswith(f"job: {message}")


def test_a_name_of_an_entry_point_is_no_name_where_it_is_not_installed() -> None:
    with pytest.raises(ValueError, match="wants shards"):
        Train(method="alp")
