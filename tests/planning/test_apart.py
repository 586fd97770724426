"""Source and output are kept apart, by whatever names and links one leads into the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.planning.apart import check_apart
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.storage.nesting import where
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import parquet_bytes, png, write
from tests.support import hardset


def job_of(source: object, out: object, fmt: str = "parquet") -> Job:
    return parse_job(document_of(source, out, fmt))


def document_of(source: object, out: object, fmt: str = "parquet") -> dict[str, Any]:
    return {
        "name": "apart",
        "source": {"format": fmt, "path": str(source)},
        "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
        "output": {"path": str(out)},
    }


TOGETHER = [
    ("in", "in"),
    ("in", "in/"),
    ("in", "./x/../in"),
    ("in", "in/out"),
    ("in/deep/a.parquet", "in"),
    ("out/data", "out"),
    ("in/**/*.parquet", "in/out"),
    ("in/*/*/*/*.parquet", "in/out"),
    ("in/o*/*/*/*.parquet", "in/out"),
    ("out/data/*.parquet", "out"),
    ("file://{here}/in", "in/out"),
    ("s3://bucket/in", "s3://bucket/in/out"),
    ("s3://bucket/in/", "s3a://bucket/in"),
    ("s3://bucket", "s3://bucket/out"),
    ("s3://bucket/out/data/**", "s3://bucket/out"),
    ("simplecache::s3://bucket/in", "s3://bucket/in/out"),
    ("gs://bucket/in", "gcs://bucket/in/x"),
    ("abfss://box@account.dfs.core.windows.net/in", "az://box/in/out"),
    ("memory://in", "memory:///in/out"),
]
APART = [
    ("in", "out"),
    ("in", "in2"),
    ("in", "in-out/in"),
    ("in/a.parquet", "in/out"),
    ("in/*.parquet", "in/out"),
    ("in/*/*.parquet", "in/out/deep"),
    ("in/b*/**", "in/out"),
    ("s3://bucket/in", "s3://bucket/in2"),
    ("s3://bucket/in", "gs://bucket/in/out"),
    ("s3://bucket/in", "in"),
    ("out1/data", "out1/second"),
]


@pytest.mark.parametrize(("source", "out"), TOGETHER)
def test_places_that_hold_each_other_are_refused(source: str, out: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match=r"^output\.path: .*the next run would read its own rows; choose another folder"):
        check_apart(job_of(source.format(here=tmp_path), out))


@pytest.mark.parametrize(("source", "out"), APART)
def test_others_are_not(source: str, out: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_apart(job_of(source, out))


def test_credentials_are_not_told() -> None:
    with pytest.raises(JobError) as refused:
        check_apart(job_of("s3://key:secret@bucket/in", "s3://key:secret@bucket/in"))
    assert "secret" not in str(refused.value)
    assert where("s3://key:secret@bucket/in?x") == where("s3://bucket/in?x")


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", parquet_bytes([png(0)], [0], names="ab"))
    (tmp_path / "other").symlink_to(tmp_path / "in")
    with pytest.raises(JobError, match="lies in the source"):
        make_plan(job_of(tmp_path / "other", tmp_path / "in" / "out"))
    with pytest.raises(JobError, match="lies in the source"):
        make_plan(job_of(tmp_path / "in", tmp_path / "other" / "out"))


def test_a_link_inside_the_source_into_the_output_is_found(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", parquet_bytes([png(0)], [0], names="ab"))
    write(tmp_path / "out" / "data" / "1" / "b.parquet", parquet_bytes([png(1)], [0], names="ab"))
    (tmp_path / "in" / "more").symlink_to(tmp_path / "out" / "data")
    with pytest.raises(JobError, match=r"^output\.path: more/1/b\.parquet of the source is a link into "):
        make_plan(job_of(tmp_path / "in", tmp_path / "out"))


def test_plan_and_generate_refuse_alike_and_write_nothing(tmp_path: Path) -> None:
    import yaml

    write(tmp_path / "in" / "a.parquet", parquet_bytes([png(0)], [0], names="ab"))
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(document_of(tmp_path / "in", tmp_path / "in")))
    for verb in ("plan", "generate"):
        ended = hardset(verb, file)
        assert ended.returncode == 2
        assert "is the folder of the source" in ended.stderr
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.parquet"]
