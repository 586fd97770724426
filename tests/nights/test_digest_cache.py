"""Digests of local files are remembered for as long as the files are surely the same, and no longer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardset.pipeline.sources import digest_cache as cache
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import resolve
from hardset.schemas.digests import sha256_hex
from hardset.schemas.environment import CACHE

Digest = Callable[[], tuple[str, bool]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a source that was last touched a while ago, as far as the cache can tell."""
    path = tmp_path / "in" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(b"first")
    return path


@pytest.fixture
def digest(file: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """The file's digest through the cache, and whether the file was read for it; ten seconds after the last touch."""
    monkeypatch.setattr(cache.time, "time", lambda: file.stat().st_ctime + 10)

    def find() -> tuple[str, bool]:
        read = []
        with digest_cache(resolve(str(file.parent))) as found:
            digests = found.digests({"a.bin": str(file)}, lambda path: read.append(path) or _content(path))  # type: ignore[func-returns-value]
        return digests["a.bin"], bool(read)

    return find


def _content(path: str) -> str:
    return sha256_hex(Path(path).read_bytes())


def stored() -> list[Path]:
    return sorted(Path(os.environ[CACHE.name]).rglob("*"))


def test_a_file_that_did_not_change_is_read_once(digest: Digest, file: Path) -> None:
    assert digest() == (sha256_hex(b"first"), True)
    assert digest() == (sha256_hex(b"first"), False)
    assert [path.suffix for path in stored() if path.is_file()] == [".json"]
    assert file.read_bytes() == b"first"


def edited(file: Path) -> None:
    file.write_bytes(b"other")


def edited_with_its_time_put_back(file: Path) -> None:
    """As `cp -p`, `rsync -t` and `touch -r` do."""
    before = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_with_its_time_put_back(file: Path) -> None:
    before, beside = file.stat(), file.with_name("new")
    beside.write_bytes(b"other")
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.replace(file)


def grown(file: Path) -> None:
    file.write_bytes(b"otherwise")


@pytest.mark.parametrize("change", [edited, edited_with_its_time_put_back, replaced_with_its_time_put_back, grown])
def test_a_file_that_changed_in_whatever_way_is_read_again(
    change: Callable[[Path], None], digest: Digest, file: Path
) -> None:
    digest()
    time.sleep(0.02)  # past the tick of the clock, for which there is the next test
    change(file)
    assert digest() == (sha256_hex(file.read_bytes()), True)
    assert digest() == (sha256_hex(file.read_bytes()), False)


def test_a_file_touched_just_before_is_not_remembered(
    digest: Digest, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit within the same tick of the file system's clock would not show."""
    monkeypatch.setattr(cache.time, "time", lambda: file.stat().st_ctime + 1.9)
    digest()
    assert digest() == (sha256_hex(b"first"), True)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.time, "time", lambda: time.monotonic() + 1e10)

    def read(path: str) -> str:
        found = _content(path)
        file.write_bytes(b"changed meanwhile")
        return found

    with digest_cache(resolve(str(file.parent))) as found:
        found.digests({"a.bin": str(file)}, read)
    assert stored() == []


@pytest.mark.parametrize("field", range(5))
def test_another_device_inode_size_or_time_is_another_file(field: int, digest: Digest) -> None:
    """So nothing is believed on another machine that sees the same cache."""
    digest()
    (file,) = (path for path in stored() if path.is_file())
    content = json.loads(file.read_text())
    content["files"]["a.bin"][0][field] += 1
    file.write_text(json.dumps(content))
    assert digest()[1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 2, "files": {}}', '{"files": 7}'])
def test_a_broken_cache_costs_time_and_nothing_else(content: str, digest: Digest) -> None:
    digest()
    (file,) = (path for path in stored() if path.is_file())
    file.write_text(content)
    assert digest() == (sha256_hex(b"first"), True)
    assert digest() == (sha256_hex(b"first"), False)


def test_a_cache_that_others_may_write_is_not_believed(digest: Digest) -> None:
    digest()
    (file,) = (path for path in stored() if path.is_file())
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o666)
    assert digest()[1]


def test_a_cache_that_cannot_be_written_is_no_fault(digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE.name, "/proc/nowhere")
    assert digest() == (sha256_hex(b"first"), True)


def test_an_empty_name_turns_it_off(digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ[CACHE.name]
    monkeypatch.setenv(CACHE.name, "")
    digest()
    assert digest()[1]
    assert not list(Path(folder).rglob("*.json"))
