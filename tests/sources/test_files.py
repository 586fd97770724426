"""Places that cannot be read: one sentence with the key path and the mend, and never a credential."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.sources import open_source
from pipeline.sources.files import resolve
from pipeline.sources.fingerprints import tag_digest
from schemas.errors import JobError
from schemas.sources import ImageFolderSource, NpzSource, ParquetSource
from tests.sources.making import parquet_bytes, png, write

SPECS: list[Callable[..., Any]] = [ParquetSource, ImageFolderSource, NpzSource]


@pytest.mark.parametrize("spec", SPECS)
def test_a_missing_path_and_an_empty_folder(spec: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"^source.path: .*nowhere: no such file or folder.*check the path"):
        open_source(spec(path=str(tmp_path / "nowhere"))).plan(5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(JobError, match=r"^source.path: .*empty holds no"):
        open_source(spec(path=str(tmp_path / "empty"))).plan(5)


def test_a_glob_without_a_match(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"^source.path: .*\*.parquet holds no .parquet files"):
        open_source(ParquetSource(path=str(tmp_path / "*.parquet"))).plan(5)


def test_globs_and_names_with_brackets(tmp_path: Path) -> None:
    for name in ("a/x.parquet", "b/y.parquet", "c[1]/z.parquet", "b/notes.txt"):
        write(tmp_path / name, parquet_bytes([png(0)], [0]))
    names = [r.file for r in open_source(ParquetSource(path=str(tmp_path / "*" / "*.parquet"))).plan(5)]
    assert names == ["a/x.parquet", "b/y.parquet", "c[1]/z.parquet"]
    (only,) = open_source(ParquetSource(path=str(tmp_path / "c[1]"))).plan(5)
    assert only.file == "z.parquet"
    assert len(open_source(ParquetSource(path=str(tmp_path / "**" / "*.parquet"))).plan(5)) == 3


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = sys.modules["fsspec.registry"]._registry
    for protocol, module, extra in (("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("az", "adlfs", "azure")):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(installed, protocol, raising=False)
        url = f"{protocol}://key:secret@bucket/data?token=secret"
        with pytest.raises(
            JobError, match=rf"^source.path: {protocol}://bucket/data: .*pip install hardset\[{extra}\]"
        ):
            resolve(url)


@pytest.mark.parametrize("url", ["nonsense://bucket/x", "http://user:secret@127.0.0.1:9/x.parquet?token=secret"])
def test_a_place_out_of_reach_is_named_without_credentials(url: str) -> None:
    with pytest.raises(JobError, match=r"^source.path: ") as caught:
        open_source(ParquetSource(path=url)).plan(5)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    try:
        write(tmp_path / "bad\udcff.parquet", parquet_bytes([png(0)], [0]))
    except (OSError, UnicodeError):
        pytest.skip("this file system holds UTF-8 names only")
    with pytest.raises(JobError, match="is not UTF-8; rename it"):
        open_source(ParquetSource(path=str(tmp_path))).plan(5)


def test_checksums_come_before_entity_tags_and_quotes_do_not_count() -> None:
    assert tag_digest({"size": 3}) is None
    assert tag_digest({"ETag": '"a"', "size": 3}) == tag_digest({"ETag": "a", "size": 3})
    assert tag_digest({"ETag": "a", "size": 3}) != tag_digest({"ETag": "b", "size": 3})
    assert tag_digest({"md5Hash": "m", "etag": "1"}) == tag_digest({"md5Hash": "m", "etag": "2"})
