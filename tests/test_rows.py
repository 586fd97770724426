"""The row contract, held still: a changed column is a changed CONTRACT_VERSION, and here is where it shows."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from schemas.rows import (
    COLUMNS,
    CONTRACT_VERSION,
    IMAGE,
    KINDS,
    QUARANTINE_SCHEMA,
    arrow_schema,
    card_features,
    huggingface_features,
    schema_sha256,
)

GOLDEN = """
image struct<bytes: binary, path: string> AGU
label int64 AU class
row_id string AGU
kind string AGU
image_sha256 string AGU
width int32 AGU
height int32 AGU
source_dataset string AU
source_split string AU
source_index int64 AU
source_key string AU
source_sha256 string AU
parent_row_id string -
run_id string AGU
recipe_id string AGU
op string AGU
variant int32 AGU
seed int64 AGU
params string U
model_id string AG
model_sha256 string AG
norm string A
eps double A
target_label int64 - class
steps int32 A
clean_pred int64 A class
float_pred int64 A class
pred int64 A class
clean_margin float A
float_margin float A
margin float A
confidence float A
success bool A
linf_levels int32 A
l2 float A
verify_id string A
l1 float A
queries int32 A
found_by string A
flags string A
transfer_pred string -
transferred int32 -
""".strip().splitlines()


def test_columns_are_those_of_version_1_1() -> None:
    assert CONTRACT_VERSION == "1.1"
    assert [f"{c.name} {c.type} {c.required or '-'}{' class' * c.is_class}" for c in COLUMNS] == GOLDEN


def test_quarantine_columns_are_those_of_version_1_1() -> None:
    names = "source_dataset source_split source_index source_key run_id recipe_id variant stage error_class message"
    assert QUARANTINE_SCHEMA.names == names.split()
    assert {str(t) for t in QUARANTINE_SCHEMA.types} == {"string", "int64", "int32"}


def test_every_type_is_one_that_all_readers_take() -> None:
    plain = {pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), IMAGE}
    for field in [*arrow_schema(["a"]), *QUARANTINE_SCHEMA]:
        assert field.type in plain
        assert field.nullable
        assert field.metadata is None


@pytest.mark.parametrize("classes", [[], ["no", "yes"], ["été", '"', "7: x"]])
def test_features_of_file_and_card_agree_with_the_schema(classes: list[str]) -> None:
    schema = arrow_schema(classes)
    assert json.loads(schema.metadata[b"huggingface"]) == {"info": {"features": huggingface_features(classes)}}
    assert schema.names == list(huggingface_features(classes)) == [f["name"] for f in card_features(classes)]
    labels = [f for f in card_features(classes) if isinstance(f["dtype"], dict)]
    assert all(list(f["dtype"]["class_label"]["names"].values()) == classes for f in labels)
    assert [f["name"] for f in labels] == [c.name for c in COLUMNS if c.is_class]


def test_datasets_reads_the_same_features_from_file_and_card() -> None:
    datasets = pytest.importorskip("datasets")

    schema = arrow_schema(["cat", "dog"])
    from_file = datasets.Features.from_arrow_schema(schema)
    assert from_file == datasets.Features._from_yaml_list(card_features(["cat", "dog"]))
    assert from_file.arrow_schema.equals(schema)


def test_required_columns_by_kind() -> None:
    by_name = {c.name: c for c in COLUMNS}
    assert [by_name["label"].required_of(kind) for kind in KINDS] == [True, False, True]
    assert [by_name["model_id"].required_of(kind) for kind in KINDS] == [True, True, False]
    assert [by_name["params"].required_of(kind) for kind in KINDS] == [False, False, True]


def test_every_column_says_what_it_means() -> None:
    assert all(len(column.meaning) > 5 for column in COLUMNS)
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


def test_the_schema_digest_knows_the_class_names() -> None:
    assert schema_sha256(["a", "b"]) == schema_sha256(("a", "b"))
    assert len({schema_sha256(names) for names in ([], ["a"], ["b"], ["a", "b"], ["b", "a"])}) == 5
