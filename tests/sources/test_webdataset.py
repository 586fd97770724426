"""WebDataset: tars as their writers leave them, indexes that are kept, and tars that break off."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.sources import tar_index
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.sources import ImageFolderSource, WebDatasetSource
from hardset.schemas.records.run import Image
from tests.sources.making import pixels, png, read_all, tar_bytes, write

SHAPE = Image(height=6, width=5, channels=3)


def tar_of(seeds: range, label: Any = lambda seed: str(seed % 3), end: str = "cls") -> bytes:
    members = []
    for seed in seeds:
        members += [(f"{seed:06}.png", png(seed)), (f"{seed:06}.{end}", str(label(seed)).encode())]
    return tar_bytes(members)


def test_rows_are_those_of_an_image_folder(tmp_path: Path) -> None:
    write(tmp_path / "tars" / "train-000000.tar", tar_of(range(8)))
    for seed in range(8):
        write(tmp_path / "folders" / str(seed % 3) / f"{seed}.png", png(seed))
    folders = open_source(ImageFolderSource(path=str(tmp_path / "folders")))
    rows = [folders.read(part, SHAPE, 3)[0] for part in folders.plan(9)]
    wanted = sorted((d, int(n)) for some in rows for d, n in zip(some.sha256, some.labels, strict=True))
    digests, labels, lost = read_all(WebDatasetSource(path=str(tmp_path / "tars")))
    assert (sorted(zip(digests, labels, strict=True)), lost) == (wanted, {})


def test_names_columns_and_splits(tmp_path: Path) -> None:
    def described(seed: int) -> str:
        return json.dumps({"label": "cat" if seed % 2 else "dog", "caption": f"c{seed}", "n": seed, "box": [1, 2]})

    write(tmp_path / "train-0.tar", tar_of(range(4), described, "json"))
    write(tmp_path / "test-0.tar", tar_of(range(4, 6), described, "json"))
    spec = WebDatasetSource(path=str(tmp_path), keep={"caption": "caption", "n": "number", "box": "box"})
    reader = open_source(spec)
    assert reader.class_names() == ("cat", "dog")
    assert [(part.split, part.file, part.rows) for part in reader.plan(9)] == [
        ("train", "train-0.tar", 4),
        ("test", "test-0.tar", 2),
    ]
    assert {name: str(kind) for name, kind in reader.user_types().items()} == {  # type: ignore[attr-defined]
        "caption": "string",
        "number": "int64",
        "box": "string",
    }
    rows, _ = reader.read(reader.plan(9)[1], SHAPE, 2)
    assert rows.labels.tolist() == [1, 0]
    assert rows.keys == ("test-0.tar#0", "test-0.tar#1")


def test_what_writers_leave_is_read_and_what_is_no_member_is_not(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(data), kind, link
            archive.addfile(member, io.BytesIO(data))

        add("./deep", kind=tarfile.DIRTYPE)
        add("./deep/" + "x" * 200 + ".PNG", png(0))
        add("./deep/" + "x" * 200 + ".Cls", b"2\n")
        add(".hidden.png", png(9))
        add("deep/._b.png", b"\0\5\x16\7")
        add("link.png", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add("b.cls", b"1")
        add("b.seg.png", png(8))
        add("b.jpg", png(1))
        add("no_label.png", png(2))
        add("no_image.cls", b"0")
        add("b.png", png(3))  # a key that comes again
    write(tmp_path / "a.tar", buffer.getvalue())
    digests, labels, lost = read_all(WebDatasetSource(path=str(tmp_path)))
    assert (digests, labels) == ([image_sha256(pixels(0)), image_sha256(pixels(1))], [2, 1])
    assert list(lost) == ["a.tar#2", "a.tar#3", "a.tar#4"]
    assert "no_label has no member cls" in lost["a.tar#2"]
    assert "no_image has no member jpg or" in lost["a.tar#3"]


BROKEN = {
    "no tar": (lambda data: b"junk" * 200, "is no .tar file, or is truncated"),
    "a pointer": (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    "cut inside a member": (lambda data: data[: 512 + 60], "is no .tar file, or is truncated"),
    "overwritten in the middle": (
        lambda data: data[:2048] + b"\x13" * 512 + data[2560:],
        "what follows byte 2048 is no",
    ),
    "without images": (lambda data: tar_bytes([("a.txt", b"x")]), "no member of b.tar is one of jpg, .* it has: txt"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_tar_costs_itself(case: str, tmp_path: Path) -> None:
    spoil, message = BROKEN[case]
    write(tmp_path / "a.tar", tar_of(range(4)))
    write(tmp_path / "b.tar", spoil(tar_of(range(4))))
    digests, _, lost = read_all(WebDatasetSource(path=str(tmp_path)))
    assert len(digests) == 4 and list(lost) == ["b.tar#0"]
    with pytest.raises(JobError, match=message):
        open_source(WebDatasetSource(path=str(tmp_path), unreadable="fail")).plan(9)


def test_a_tar_is_walked_through_once_per_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDSET_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "in" / "a.tar", tar_of(range(4)))
    walks: list[object] = []
    walk = tar_index.samples_of
    monkeypatch.setattr(tar_index, "samples_of", lambda handle: walks.append(handle) or walk(handle))
    spec = WebDatasetSource(path=str(tmp_path / "in"))
    assert read_all(spec) == read_all(spec)
    assert len(walks) == 1
    (kept,) = (tmp_path / "cache" / "tars").iterdir()
    kept.chmod(0o666)  # another user might have written it
    read_all(spec)
    assert len(walks) == 2
    write(tmp_path / "in" / "a.tar", tar_of(range(5)))
    assert len(read_all(spec)[0]) == 5


def test_tars_of_a_store_are_read_by_ranges(s3_bucket: str) -> None:
    import s3fs

    store = s3fs.S3FileSystem(use_listings_cache=False)
    store.pipe_file(f"{s3_bucket}/tars/train-0.tar", tar_of(range(7)))
    spec = WebDatasetSource(path=f"{s3_bucket}/tars")
    digests, labels, lost = read_all(spec)
    assert digests == [image_sha256(pixels(seed)) for seed in range(7)]
    assert (labels, lost) == ([seed % 3 for seed in range(7)], {})
    (part, *_) = open_source(spec).plan(3)
    store.pipe_file(f"{s3_bucket}/tars/train-0.tar", tar_of(range(50, 57)))
    with pytest.raises(RunError, match=r"train-0\.tar has changed since the run was planned"):
        open_source(spec).read(part, SHAPE, 3)


def test_large_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDSET_VALUE_MIB", "0.001")
    members = [("a.png", png(0) + bytes(10_000)), ("a.cls", b"0"), ("b.png", png(1)), ("b.cls", b"1")]
    write(tmp_path / "a.tar", tar_bytes(members))
    digests, _, lost = read_all(WebDatasetSource(path=str(tmp_path)))
    assert digests == [image_sha256(pixels(1))]
    assert "HARDSET_VALUE_MIB" in lost["a.tar#0"]
