"""Tables of images as people save them: every kind gives the same rows, or says why it gives none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ManifestSource
from tests.sources.making import pixels, png, read_all, write

PLAIN = "path,label\nimg/0.png,0\nimg/1.png,1\nimg/2.png,2\n"
ROWS = [{"path": f"img/{n}.png", "label": n} for n in range(3)]
DIGESTS = [image_sha256(pixels(n)) for n in range(3)]

SAVED: dict[str, tuple[str, bytes | str]] = {
    "lines of Windows": ("a.csv", PLAIN.replace("\n", "\r\n")),
    "lines of old Macs": ("a.csv", PLAIN.replace("\n", "\r")),
    "a mark of UTF-8": ("a.csv", "\ufeff" + PLAIN),
    "UTF-16 of spreadsheets": ("a.csv", PLAIN.encode("utf-16")),
    "UTF-16 with tabs": ("a.csv", PLAIN.replace(",", "\t").encode("utf-16")),
    "semicolons": ("a.csv", PLAIN.replace(",", ";")),
    "semicolons and decimal commas": ("a.csv", "path;label;x\nimg/0.png;0;0,5\nimg/1.png;1;1,5\nimg/2.png;2;2,5\n"),
    "tabs": ("a.csv", PLAIN.replace(",", "\t")),
    "bars": ("a.csv", PLAIN.replace(",", "|")),
    "commas for tabs": ("a.tsv", PLAIN),
    "quotes": ("a.csv", PLAIN.replace("path", '"path"').replace("img/1.png", '"img/1.png"')),
    "separators in quotes": ("a.csv", 'path,label,"a;b;c;d"\nimg/0.png,0,x\nimg/1.png,1,x\nimg/2.png,2,x\n'),
    "spaces after separators": ("a.csv", PLAIN.replace(",", ", ")),
    "an index as pandas writes it": ("a.csv", ",path,label\n0,img/0.png,0\n1,img/1.png,1\n2,img/2.png,2\n"),
    "empty lines": ("a.csv", PLAIN.replace("\nimg/1", "\n\nimg/1") + "\n\n"),
    "names in another case": ("a.csv", PLAIN.replace("path,label", "Path,LABEL")),
    "names of others": ("a.csv", PLAIN.replace("path,label", "Image_Name,class_id")),
    "folders of Windows": ("a.csv", PLAIN.replace("/", "\\")),
    "a dot before paths": ("a.csv", PLAIN.replace("img/", "./img/")),
    "gzip": ("a.csv.gz", gzip.compress(PLAIN.encode())),
    "JSON lines": ("a.jsonl", "\n".join(map(json.dumps, ROWS))),
    "JSON lines of Windows": ("a.jsonl", "\ufeff" + "\r\n".join(map(json.dumps, ROWS))),
    "JSON lines in gzip": ("a.jsonl.gz", gzip.compress("\n".join(map(json.dumps, ROWS)).encode())),
    "a JSON list": ("a.json", json.dumps(ROWS)),
    "a JSON list called lines": ("a.jsonl", json.dumps(ROWS, indent=1)),
    "labels in lists of one": ("a.jsonl", "\n".join(json.dumps({**row, "label": [row["label"]]}) for row in ROWS)),
    "JSON with separators of lines in text": (
        "a.jsonl",
        "\n".join(json.dumps({**row, "caption": "a\u2028b\x0bc"}, ensure_ascii=False) for row in ROWS),
    ),
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed in range(3):
        write(tmp_path / "img" / f"{seed}.png", png(seed))
    return tmp_path


def saved(folder: Path, name: str, content: bytes | str) -> ManifestSource:
    return ManifestSource(path=str(write(folder / name, content if isinstance(content, bytes) else content.encode())))


@pytest.mark.parametrize("kind", SAVED)
def test_however_a_table_is_saved_it_gives_the_same_rows(kind: str, images: Path) -> None:
    assert read_all(saved(images, *SAVED[kind])) == (DIGESTS, [0, 1, 2], {})


REFUSED: dict[str, tuple[str, bytes | str, str]] = {
    "Latin-1": ("a.csv", "path,label\nimg/0.png,caf\u00e9\n".encode("latin-1"), "line 2 is no UTF-8; save the table"),
    "another suffix": ("a.txt", "img/0.png 0\n", "its name ends in none of .csv, .tsv, .jsonl"),
    "no names": ("a.csv", "img/0.png,0\n", "source.image: no column is named path, .* it has: img/0.png, 0"),
    "one image by two paths": ("a.csv", f"{PLAIN}./img/1.png,1\n", "lists ./img/1.png twice, again in row 4"),
    "a line too short": ("a.csv", f"{PLAIN}img/1.png\n", "Expected 2 columns, got 1"),
    "compressed, and not called so": ("a.csv", gzip.compress(PLAIN.encode()), "is compressed; unpack it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table_is_refused_with_the_reason(kind: str, images: Path) -> None:
    name, content, told = REFUSED[kind]
    with pytest.raises(JobError, match=told):
        open_source(saved(images, name, content)).plan(9)


@pytest.mark.parametrize(
    ("ids", "kind", "first"),
    [(("007", "008", "10"), "string", "007"), (("7", "8", "0"), "int64", 7), (("a", "", "b"), "string", "a")],
)
def test_ids_that_begin_with_zero_stay_text(ids: tuple[str, ...], kind: str, first: object, images: Path) -> None:
    text = "path,label,id\n" + "".join(f"img/{n}.png,{n},{one}\n" for n, one in enumerate(ids))
    spec = saved(images, "a.csv", text).model_copy(update={"keep": {"id": "sample"}})
    reader = open_source(spec)
    assert str(reader.user_types()["sample"]) == kind  # type: ignore[attr-defined]
    rows, _ = reader.read(reader.plan(9)[0], reader.probe(), 3)
    assert rows.user["sample"][0] == first


def test_a_backslash_in_one_name_of_many_is_part_of_the_name(images: Path) -> None:
    write(images / "img" / "a\\b.png", png(5))
    text = "path,label\nimg/0.png,0\nimg/a\\b.png,1\n"
    assert read_all(saved(images, "a.csv", text))[0] == [DIGESTS[0], image_sha256(pixels(5))]


def test_a_column_by_its_very_name_comes_first(images: Path) -> None:
    text = "PATH,path,Label,label\nno,img/0.png,9,0\nno,img/1.png,9,1\nno,img/2.png,9,2\n"
    assert read_all(saved(images, "a.csv", text)) == (DIGESTS, [0, 1, 2], {})


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_a_table_unfolds_to_no_more_than_is_allowed(
    pack: Callable[[bytes], bytes], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDSET_ROW_GROUP_GIB", "1e-6")
    name = "a.csv" if pack(b"") == b"" else "a.csv.gz"
    with pytest.raises(JobError, match="HARDSET_ROW_GROUP_GIB allows"):
        open_source(saved(images, name, pack(PLAIN.encode() + b"\n" * 2000))).plan(9)
