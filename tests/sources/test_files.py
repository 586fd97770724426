"""Places that cannot be read: one sentence with the key path and the mend, and never a credential."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.sources.files import redacted, resolve
from hardset.pipeline.sources.fingerprints import tag_digest
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, NpzSource, ParquetSource
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


def test_web_servers_are_read_by_file_and_by_their_listings(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train-0.parquet", parquet_bytes([png(0)], [0]))
    write(tmp_path / "set" / "test-0.parquet", parquet_bytes([png(1)], [0]))
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/set"
        for path, files in (
            ("/train-0.parquet?token=secret", ["train-0.parquet"]),
            ("/*.parquet", ["train-0.parquet", "test-0.parquet"]),
            ("/", ["train-0.parquet", "test-0.parquet"]),
        ):
            reader = open_source(ParquetSource(path=root + path))
            assert reader.name == root + path.partition("?")[0]
            plan = reader.plan(5)
            assert [r.file for r in plan] == files
            assert [len(reader.read(r, reader.probe(), 1)[0]) for r in plan] == [1] * len(files)
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keeps the test's output clean."""


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


def test_urls_inside_messages_lose_their_credentials() -> None:
    error = OSError("GET 'https://user:secret@host/a?token=secret' (s3://k:secret@b/c) failed\nbadly")
    assert redacted(error) == "GET 'https://host/a' (s3://b/c) failed badly"


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(JobError, match=r"^source.path: is empty"):
        open_source(ParquetSource(path="")).plan(5)


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
