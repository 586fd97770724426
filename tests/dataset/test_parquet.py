"""Data and quarantine files: exactly the contract's schema, the same bytes twice, faults noticed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.writer import provenance

from hardset.pipeline.dataset.files.parquet import check_file, encode_rows, read_footer
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.files.quarantine import encode_quarantine
from hardset.schemas.digests import content_sha256
from hardset.schemas.errors import RunError
from hardset.schemas.rows.contract import (
    ADVERSARIAL,
    AUGMENTED,
    COLUMNS,
    CONTRACT_VERSION,
    GENERATED,
    KINDS,
    arrow_schema,
)
from tests.dataset.examples import CLASSES, FOOTER, columns_of, pixels_of


def encode(columns: dict[str, Any]) -> bytes:
    return encode_rows(columns, classes=CLASSES, footer=FOOTER)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_back_what_went_in(kind: str) -> None:
    pixels = pixels_of(7)
    columns = columns_of(pixels, kind)
    table = pq.read_table(io.BytesIO(encode(columns)))
    assert table.schema.equals(arrow_schema(CLASSES))
    for name in table.column_names:
        values = columns.get(name)
        assert table[name].to_pylist() == (
            [None] * 7 if values is None else [*getattr(values, "tolist", values.copy)()]
        )
    for stored, image in zip(table["image"].to_pylist(), pixels, strict=True):
        np.testing.assert_array_equal(decode_png(stored["bytes"]), image)


def test_equal_rows_give_equal_bytes() -> None:
    first, second = (encode(columns_of(pixels_of(50))) for _ in range(2))
    assert first == second
    assert encode(dict(reversed(columns_of(pixels_of(50)).items()))) == first


def test_every_file_of_one_schema_has_the_features_in_its_footer() -> None:
    for kind in KINDS:
        metadata = pq.read_schema(io.BytesIO(encode(columns_of(pixels_of(2), kind)))).metadata
        assert metadata[b"huggingface"] == arrow_schema(CLASSES).metadata[b"huggingface"]


def test_the_footer_explains_a_lone_file() -> None:
    columns = columns_of(pixels_of(3))
    pairs = list(zip(columns["row_id"], columns["image_sha256"], strict=True))
    extra = {"contract": CONTRACT_VERSION, "rows": 3, "content_sha256": content_sha256(pairs)}
    assert read_footer(encode(columns)) == FOOTER | extra
    with pytest.raises(RunError, match="not a data file of hardset"):
        read_footer(encode_quarantine([{"stage": "read"}]))


def test_row_groups_are_small_and_image_bytes_have_no_statistics() -> None:
    pixels = pixels_of(250, size=224)
    metadata = pq.ParquetFile(io.BytesIO(encode(columns_of(pixels)))).metadata
    raw = pixels[0].nbytes
    uncounted = [
        "image.bytes",
        "image.path",
        "row_id",
        "image_sha256",
        "source_sha256",
        "parent_row_id",
        "partner_sha256",
        "seed",
        "params",
        "transfer_pred",
    ]
    assert metadata.num_row_groups == 3
    assert 8 * 2**20 < metadata.row_group(0).num_rows * raw <= 16 * 2**20
    for column in (metadata.row_group(0).column(i) for i in range(metadata.num_columns)):
        assert column.compression == "ZSTD"
        assert (column.statistics is None) == (column.path_in_schema in uncounted)
        assert column.has_offset_index
        if column.path_in_schema in ("image.bytes", "row_id", "seed", "params", "margin"):
            assert not column.has_dictionary_page
        if column.path_in_schema in ("label", "run_id", "eps", "model_sha256", "found_by", "flags"):
            assert column.has_dictionary_page


def test_provenance_costs_at_most_130_bytes_a_row() -> None:
    """10,000 adversarial rows, random where rows are, with footer and indexes; by the benchmark's own measure."""
    found = provenance({ADVERSARIAL: 10_000}, side=8)
    assert found["rows"] == 10_000
    assert 104 < found["bytes_per_row"] <= 130  # digests, ids and seeds alone are 104 random bytes


def test_measured_columns_have_a_dictionary_where_values_repeat() -> None:
    pixels = pixels_of(100)
    columns = columns_of(pixels) | {"l1": np.arange(100, dtype=np.float32) // 4, "l2": np.arange(100, dtype=np.float32)}
    metadata = pq.ParquetFile(io.BytesIO(encode(columns))).metadata.row_group(0)
    chunks = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
    assert chunks["l1"].has_dictionary_page
    assert not chunks["l2"].has_dictionary_page
    assert pq.read_table(io.BytesIO(encode(columns)))["l1"].to_pylist() == columns["l1"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_required_columns_are_named(kind: str) -> None:
    for column in COLUMNS:
        columns = columns_of(pixels_of(2), kind)
        if column.name in ("row_id", "kind") or column.name not in columns:
            continue
        if column.name == "image":
            columns["image"] = [None, None]
        else:
            columns[column.name] = None
        if column.required_of(kind):
            with pytest.raises(RunError, match=rf"{kind} rows must fill .*\b{column.name}\b|column image"):
                encode(columns)
        else:
            encode(columns)


def test_one_missing_value_is_enough_to_refuse() -> None:
    columns = columns_of(pixels_of(3), AUGMENTED)
    columns["params"] = ["{}", None, "{}"]
    with pytest.raises(RunError, match="augmented rows must fill params"):
        encode(columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_id": []}, "none to encode"),
        ({"row_id": None}, "none to encode"),
        ({"colour": [1, 2]}, "does not have: colour"),
        ({"label": [1]}, "column label has 1 values for 2 rows"),
        ({"label": ["a", "b"]}, "column label does not hold int64"),
        ({"steps": np.array([1, 2**40])}, "column steps does not hold int32"),
        ({"label": [0, 3]}, "label spans 0 to 3; there are 3 classes"),
        ({"pred": [-1, 0]}, "pred spans -1 to 0"),
        ({"kind": ["adversarial", "clean"]}, "kind holds clean"),
    ],
)
def test_rows_that_break_the_contract_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        encode(columns_of(pixels_of(2)) | change)


def test_check_file_accepts_what_was_written_and_nothing_else() -> None:
    columns = columns_of(pixels_of(5))
    data = encode(columns)
    assert check_file(data, classes=CLASSES, rows=5).num_rows == 5
    for wrong, message in (
        ({"classes": CLASSES, "rows": 4}, "holds 5 rows, not 4"),
        ({"classes": ("a", "b", "c"), "rows": 5}, "other class names"),
        ({"classes": CLASSES, "rows": 5, "content": "0" * 64}, "other rows"),
    ):
        with pytest.raises(RunError, match=message):
            check_file(data, **wrong)
    lying = encode_rows(columns, classes=CLASSES, footer=FOOTER | {"content_sha256": "0" * 64})
    with pytest.raises(RunError, match="other rows than its content digest"):
        check_file(lying, classes=CLASSES)


def test_another_schema_is_noticed() -> None:
    table = pq.read_table(io.BytesIO(encode(columns_of(pixels_of(5)))))
    metadata = table.schema.metadata
    for other in (
        table.drop_columns(["l2"]),
        table.set_column(1, "label", table["label"].cast(pa.int32())),
        table.set_column(1, pa.field("label", pa.int64(), nullable=False), table["label"]),
    ):
        target = io.BytesIO()
        pq.write_table(other.replace_schema_metadata(metadata), target)
        with pytest.raises(RunError, match="another schema"):
            check_file(target.getvalue(), classes=CLASSES)


def test_a_flipped_byte_is_noticed_wherever_pages_lie() -> None:
    data = encode(columns_of(pixels_of(40)))
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    chunks = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    images = next(c for c in chunks if c.path_in_schema == "image.bytes")
    pages_end = max(c.data_page_offset + c.total_compressed_size for c in chunks)
    places = np.random.default_rng(0).integers(4, pages_end - 400, 60)
    quiet = []
    for place in [images.data_page_offset + images.total_compressed_size // 2, *places]:
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        try:
            table = check_file(bytes(flipped), classes=CLASSES, rows=40)
        except RunError:
            continue
        quiet.append(table)
    whole = pq.read_table(io.BytesIO(data))
    assert all(table.equals(whole) for table in quiet)
    assert len(quiet) < 5  # some bytes of a page header carry nothing that is read


def test_a_cut_file_is_noticed() -> None:
    data = encode(columns_of(pixels_of(5)))
    for end in (0, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(RunError, match="does not read back"):
            check_file(data[:end], classes=CLASSES)


def test_generated_rows_need_no_source() -> None:
    columns = columns_of(pixels_of(2), GENERATED)
    assert not {"source_dataset", "source_sha256"} & set(columns)
    adversarial = columns_of(pixels_of(1), ADVERSARIAL)
    names = {*adversarial, *columns}
    mixed = {name: [*adversarial.get(name, [None]), *columns.get(name, [None] * 2)] for name in names}
    assert check_file(encode(mixed), classes=CLASSES, rows=3)["eps"].null_count == 2
