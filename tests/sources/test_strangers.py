"""Datasets as strangers lay them out: read as they are meant, or refused with what to write instead."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.sources.recognise import recognise
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, ParquetSource, WebDatasetSource
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import IMAGE_TYPE, encoded, parquet_bytes, pixels, png, read_all, tar_bytes, write


def folders(root: Path, *names: str) -> ImageFolderSource:
    for seed, name in enumerate(names):
        write(root / name, png(seed))
    return ImageFolderSource(path=str(root))


def table(root: Path, **columns: Any) -> ParquetSource:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    write(root / "a.parquet", buffer.getvalue())
    return ParquetSource(path=str(root))


def images(rows: int = 3) -> pa.Array:
    return pa.array([{"bytes": png(n), "path": None} for n in range(rows)], IMAGE_TYPE)


@pytest.mark.parametrize(("train", "test"), [("Training", "Testing"), ("TRAIN", "VAL"), ("Train", "Test_images")])
def test_split_folders_may_be_written_in_any_case(train: str, test: str, tmp_path: Path) -> None:
    spec = folders(tmp_path, f"{train}/cat/a.png", f"{train}/dog/b.png", f"{test}/dog/c.png")
    assert open_source(spec).class_names() == ("cat", "dog")
    assert len({part.split for part in open_source(spec).plan(9)}) == 2
    assert sorted(read_all(spec)[1]) == [0, 1, 1]


def test_classes_that_are_called_as_splits_stay_classes(tmp_path: Path) -> None:
    assert open_source(folders(tmp_path, "Test/a.png", "exam/b.png")).class_names() == ("Test", "exam")


def test_numbers_with_zeros_before_them_are_their_own_classes(tmp_path: Path) -> None:
    reader = open_source(folders(tmp_path, *(f"{n:02}/a.png" for n in range(12))))
    assert reader.warnings() == ()  # type: ignore[attr-defined]


def test_a_folder_that_the_listed_classes_lack_is_named_before_anything_is_read(tmp_path: Path) -> None:
    spec = folders(tmp_path, "cat/a.png", "dog/b.png").model_copy(update={"classes": ("dog", "eel")})
    with pytest.raises(JobError, match=r"^source\.classes: lists dog, eel, but .* has the class 'cat'"):
        open_source(spec).probe()


def test_metadata_of_every_split_are_recognised_together(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        write(tmp_path / split / "0.png", png(seed))
        write(tmp_path / split / "metadata.csv", b"file_name,label\n0.png,%s\n" % b"ab"[seed : seed + 1])
    found = recognise(str(tmp_path)).settings
    assert found == {"format": "manifest", "path": f"{tmp_path}/**/metadata.csv"}
    document = {"name": "x", "source": found, "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}]}
    spec = parse_job({**document, "output": {"path": "out"}}).source
    assert read_all(spec) == ([image_sha256(pixels(n)) for n in range(2)], [0, 1], {})
    assert [part.split for part in open_source(spec).plan(9)] == ["train", "test"]


@pytest.mark.parametrize(("name", "data"), [("a.zip", b"PK\x03\x04"), ("a.npy", b"\x93NUMPY"), ("a.7z", b"7z")])
def test_a_file_of_no_known_format_is_named(name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=rf"is a {Path(name).suffix}, which is no format that is read"):
        recognise(str(write(tmp_path / name, data)))


def test_the_default_partition_of_hive_is_a_label_that_is_null(tmp_path: Path) -> None:
    for seed, folder in enumerate(("label=cat", "label=dog", "label=__HIVE_DEFAULT_PARTITION__")):
        buffer = io.BytesIO()
        pq.write_table(pa.table({"image": pa.array([png(seed)])}), buffer)
        write(tmp_path / folder / "a.parquet", buffer.getvalue())
    digests, labels, lost = read_all(ParquetSource(path=str(tmp_path)))
    assert (len(digests), labels) == (2, [0, 1])
    assert lost == {"label=__HIVE_DEFAULT_PARTITION__/a.parquet#0": "label is null"}


def test_an_empty_text_is_no_class(tmp_path: Path) -> None:
    spec = table(tmp_path, image=images(), label=["", "cat", "dog"])
    assert open_source(spec).class_names() == ("cat", "dog")
    assert read_all(spec)[1:] == ([0, 1], {"a.parquet#0": "label is empty"})


def test_a_label_one_beyond_the_last_tells_of_the_offset(tmp_path: Path) -> None:
    spec = table(tmp_path, image=images(), label=[1, 2, 3]).model_copy(update={"classes": ("a", "b", "c")})
    assert read_all(spec)[2] == {
        "a.parquet#2": "label 3 is not in 0 to 2; set source.label_offset: 1 if labels start at 1"
    }
    assert read_all(spec.model_copy(update={"label_offset": 1}))[1:] == ([0, 1, 2], {})


@pytest.mark.parametrize(
    ("image", "label"), [("jpg", "cls"), ("img", "labels"), ("webp", "category"), ("png", "class")]
)
def test_columns_as_converters_name_them_are_found_and_told(image: str, label: str, tmp_path: Path) -> None:
    spec = table(tmp_path, **{image: images(), label: [0, 1, 2]})
    assert read_all(spec)[1] == [0, 1, 2]
    told = open_source(spec).warnings()  # type: ignore[attr-defined]
    assert [text.partition(" is taken")[0] for text in told] == [
        f"source.image: no column 'image', so {image!r}",
        f"source.label: no column 'label', so {label!r}",
    ]


def test_images_may_be_a_dictionary(tmp_path: Path) -> None:
    spec = table(tmp_path, image=pa.array([png(0), png(1), png(0)]).dictionary_encode(), label=[0, 1, 2])
    assert read_all(spec) == ([image_sha256(pixels(n)) for n in (0, 1, 0)], [0, 1, 2], {})


def test_a_column_of_paths_leads_to_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="of paths and URLs, write format: manifest"):
        open_source(table(tmp_path, image=["a.png"], label=[0])).probe()


@pytest.mark.parametrize("text", ["id,name\n0,cat\n1,dog\n", "name,id\ncat,0\ndog,1\n", "1,dog\r\n0,cat\r\n"])
def test_classes_of_a_table_with_and_without_a_head(text: str, tmp_path: Path) -> None:
    names = write(tmp_path / "names.csv", text.encode())
    write(tmp_path / "a.parquet", parquet_bytes([png(0), png(1)], [0, 1]))
    spec = ParquetSource(path=str(tmp_path / "a.parquet"), classes=str(names))
    assert open_source(spec).class_names() == ("cat", "dog")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("0.png", png(0)), ("0.txt", b"1")], "is cls or json, so nothing tells the classes; it has: png, txt"),
        ([("cat/0.png", png(0))], "is cls or json, so nothing tells the classes; it has: png"),
    ],
)
def test_a_tar_without_labels_is_refused(members: list[tuple[str, bytes]], told: str, tmp_path: Path) -> None:
    write(tmp_path / "a.tar", tar_bytes(members))
    with pytest.raises(JobError, match=told):
        open_source(WebDatasetSource(path=str(tmp_path))).plan(9)


def test_a_tar_that_is_sorted_by_extension_is_refused(tmp_path: Path) -> None:
    members = [*((f"{n}.cls", b"1") for n in range(4)), *((f"{n}.png", png(n)) for n in range(4))]
    write(tmp_path / "a.tar", tar_bytes(members))
    with pytest.raises(JobError, match=r"has the members of 0 in places apart, .* sorted by name"):
        open_source(WebDatasetSource(path=str(tmp_path))).plan(9)


def test_compressed_tars_are_named(tmp_path: Path) -> None:
    data = gzip.compress(tar_bytes([("0.png", png(0)), ("0.cls", b"1")]))
    write(tmp_path / "one" / "a.tar.gz", data)
    with pytest.raises(JobError, match=r"holds no \.tar files; it holds 1 of \.gz"):
        open_source(WebDatasetSource(path=str(tmp_path / "one"))).plan(9)
    with pytest.raises(JobError, match=r"a\.tar is compressed; unpack it"):
        open_source(WebDatasetSource(path=str(write(tmp_path / "a.tar", data)))).plan(9)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\x01", "Photoshop's format"),
    ],
)
def test_formats_that_are_not_read_are_named(data: bytes, kind: str, tmp_path: Path) -> None:
    spec = folders(tmp_path, "cat/a.png")
    write(tmp_path / "cat" / "b.jpg", data)
    assert read_all(spec, 1)[2] == {"cat/b.jpg": f"is {kind}, which is not read; convert it to PNG or JPEG"}


def test_avif_is_read(tmp_path: Path) -> None:
    features = pytest.importorskip("PIL.features")
    if not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    write(tmp_path / "cat" / "a.avif", encoded(pixels(0, 16, 16), "AVIF"))
    assert read_all(ImageFolderSource(path=str(tmp_path)), 1)[2] == {}


def test_values_of_every_type_are_carried(tmp_path: Path) -> None:
    values = {"text": "a", "nested": {"x": [1.0, float("nan")]}, "raw": b"\0\xff", "none": None}
    kinds = {name: pa.array([value]) for name, value in values.items()}
    spec = table(tmp_path, image=images(1), label=[0], **kinds).model_copy(update={"keep": {n: n for n in kinds}})
    reader = open_source(spec)
    rows, _ = reader.read(reader.plan(9)[0], reader.probe(), 1)
    found = {name: column[0] for name, column in rows.user.items()}
    assert json.loads(found.pop("nested")) == {"x": [1.0, None]}
    assert found == {"text": "a", "raw": "AP8=", "none": None}
