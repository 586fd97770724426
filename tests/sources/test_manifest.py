"""Manifests: every kind of table, paths and URLs, lines that change, and images that are not there."""

from __future__ import annotations

import functools
import http.server
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.sources import ImageFolderSource, ManifestSource
from hardset.schemas.records.run import Image
from tests.sources.making import pixels, png, read_all, write

SHAPE = Image(height=6, width=5, channels=3)
Lines = list[dict[str, Any]]


def as_csv(lines: Lines, separator: str = ",") -> bytes:
    head = list(lines[0])
    rows = [head, *([str(line[name]) for name in head] for line in lines)]
    return "".join(separator.join(row) + "\n" for row in rows).encode()


def as_jsonl(lines: Lines) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def as_parquet(lines: Lines) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(lines), buffer)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Lines], bytes]] = {
    "csv": as_csv,
    "tsv": lambda lines: as_csv(lines, "\t"),
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed in range(6):
        write(tmp_path / "img" / f"{seed}.png", png(seed))
    return tmp_path


def lines_of(rows: int = 6, **more: Any) -> Lines:
    return [{"path": f"img/{n}.png", "label": n % 3, **{k: f(n) for k, f in more.items()}} for n in range(rows)]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_table_gives_the_same_rows(kind: str, images: Path) -> None:
    write(images / f"train.{kind}", WRITERS[kind](lines_of(score=lambda n: n / 2)))
    spec = ManifestSource(path=str(images / f"train.{kind}"), keep={"score": "score"})
    digests, labels, lost = read_all(spec)
    assert digests == [image_sha256(pixels(seed)) for seed in range(6)]
    assert (labels, lost) == ([0, 1, 2, 0, 1, 2], {})
    assert str(open_source(spec).user_types()["score"]) == "double"  # type: ignore[attr-defined]


def test_names_known_columns_and_folders_with_metadata(images: Path) -> None:
    lines = [{"file_name": f"img/{n}.png", "class": "cat" if n % 2 else "dog"} for n in range(4)]
    write(images / "metadata.jsonl", as_jsonl(lines))
    with pytest.raises(JobError, match=r"holds metadata\.jsonl, which lists images .*format: manifest"):
        open_source(ImageFolderSource(path=str(images))).plan(9)
    assert len(open_source(ImageFolderSource(path=str(images), exclude=("metadata.jsonl",))).plan(9)) == 1
    reader = open_source(ManifestSource(path=str(images)))
    assert reader.class_names() == ("cat", "dog")
    (part,) = reader.plan(9)
    rows, _ = reader.read(part, SHAPE, 2)
    assert rows.labels.tolist() == [1, 0, 1, 0]
    assert rows.keys[0] == "metadata.jsonl/img/0.png"


def test_a_changed_line_or_image_makes_its_range_anew_and_no_other(images: Path) -> None:
    table = write(images / "train.csv", as_csv(lines_of()))
    spec = ManifestSource(path=str(images))

    def digests() -> list[str]:
        return [part.digest for part in open_source(spec).plan(2)]

    before = digests()
    write(images / "img" / "5.png", png(50))
    image = digests()
    changed = lines_of()
    changed[0]["label"] = 2
    write(table, as_csv(changed))
    label = digests()
    write(table, as_csv([*changed, {"path": "img/../img/0.png", "label": 1}]))
    assert [a == b for a, b in zip(before, image, strict=True)] == [True, True, False]
    assert [a == b for a, b in zip(image, label, strict=True)] == [False, True, True]
    assert digests()[:3] == label


def test_paths_of_datasets_that_embed_nothing_are_read(images: Path) -> None:
    lines = [{"image": {"bytes": None, "path": f"img/{n}.png"}, "label": n % 3} for n in range(3)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([line["image"] for line in lines], kind), "label": [0, 1, 2]})
    pq.write_table(table, images / "train.parquet")
    assert read_all(ManifestSource(path=str(images)))[:2] == ([image_sha256(pixels(n)) for n in range(3)], [0, 1, 2])


@pytest.mark.parametrize("what", ["image", "label", "line"])
def test_what_changes_under_a_run_gives_no_rows(what: str, images: Path) -> None:
    table = write(images / "train.csv", as_csv(lines_of()))
    spec = ManifestSource(path=str(table))
    plan = open_source(spec).plan(3)
    lines = lines_of()
    if what == "image":
        write(images / "img" / "4.png", png(50))
    elif what == "label":
        lines[4]["label"] = 0
    else:
        del lines[4]
    write(table, as_csv(lines))
    reader = open_source(spec)
    assert len(reader.read(plan[0], SHAPE, 3)[0]) == 3
    with pytest.raises(RunError, match=r"img/4\.png has changed since|lists img/4\.png no more"):
        reader.read(plan[1], SHAPE, 3)


def test_images_that_are_not_there_cost_their_lines(images: Path) -> None:
    lines = lines_of()
    lines[1]["path"], lines[2]["path"], lines[3]["path"] = "img/none.png", "", str(images / "img" / "3.png")
    write(images / "img" / "4.png", b"")
    write(images / "train.csv", as_csv(lines))
    spec = ManifestSource(path=str(images))
    digests, labels, lost = read_all(spec)
    assert (len(digests), labels) == (3, [0, 0, 2])
    assert lost["train.csv/img/none.png"] == "the image cannot be read: it is gone"
    assert lost["train.csv/img/4.png"] == "holds no bytes"
    assert len(lost) == 3
    with pytest.raises(JobError, match=r"train\.csv lists img/none\.png, which cannot be read"):
        open_source(spec.model_copy(update={"unreadable": "fail"})).plan(9)


def test_urls_are_read_and_their_secrets_are_told_nobody(images: Path) -> None:
    handler = functools.partial(_Quiet, directory=str(images))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        lines = [{"url": f"{root}/img/{n}.png?token=secret", "label": n % 3} for n in range(3)]
        write(images / "web" / "train.jsonl", as_jsonl(lines))
        spec = ManifestSource(path=str(images / "web"))
        digests, labels, lost = read_all(spec)
        plan = open_source(spec).plan(9)
        server.shutdown()
    assert (digests, labels, lost) == ([image_sha256(pixels(n)) for n in range(3)], [0, 1, 2], {})
    assert plan[0].members[0] == f"{root}/img/0.png"
    assert "secret" not in repr(plan)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keeps the test's output clean."""


FAULTS = {
    "no paths": (b"name,label\nx,0\n", "source.image: no column is named path, .* it has: name, label; name the one"),
    "no labels": (b"path,kind\nx,0\n", "source.label: no column is named label, "),
    "twice": (b"path,label\nimg/0.png,0\nimg/0.png,1\n", r"lists img/0\.png twice, again in row 2"),
    "no table": (b'path,label\n"img', "train.csv cannot be read as a table|no column"),
    "empty": (b"", "train.csv is empty"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_table_that_cannot_be_used_is_named(case: str, images: Path) -> None:
    data, message = FAULTS[case]
    write(images / "train.csv", data)
    with pytest.raises(JobError, match=message):
        open_source(ManifestSource(path=str(images))).plan(9)
