"""The row contract, held still: a change is a version of its own with a line in the changelog, or a test fails here.

The open version may change by its golden here alone. To change a closed one, add a version to `VERSIONS` and name it in
`OPEN_VERSION`, add its columns with `since`, a golden here, "* Row contract <version>: ..." to CHANGELOG.md, and a
dataset of the version that was the newest till then (tests/contract_1_1/make.py shows how).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from hardset.schemas.digests import digest
from hardset.schemas.errors import RunError
from hardset.schemas.rows.contract import (
    COLUMNS,
    CONTRACT_VERSION,
    IMAGE,
    KINDS,
    OPEN_VERSION,
    QUARANTINE_SCHEMA,
    VERSIONS,
    arrow_schema,
    card_features,
    columns_of,
    huggingface_features,
    schema_sha256,
)

FIRST = """
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
""".strip().splitlines()
ADDED = {
    "1.1": """
l1 float A
queries int32 A
found_by string A
flags string A
transfer_pred string -
transferred int32 -
""".strip().splitlines(),
    "1.2": """
label_2 int64 - class
label_weight float -
partner_key string -
partner_sha256 string -
pseudo_label int64 - class
pseudo_confidence float -
nearest_distance float -
kept_by string -
l0_pixels int32 -
""".strip().splitlines(),
}
"""What each later version added."""
MEANING = {"1.2": "1a712afa8ff2dc1ed7170df0db12d53a7469709298dfb48dd3bd9c9a59829e6a"}
"""Digest of what the columns mean, of the newest version. Said better and meant the same: put the new digest here.
Meant otherwise: that is another version."""


def _golden(version: str) -> list[str]:
    later = VERSIONS[1 : VERSIONS.index(version) + 1]
    return [*FIRST, *(line for added in later for line in ADDED[added])]


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_are_those_of_their_version(version: str) -> None:
    lines = [f"{c.name} {c.type} {c.required or '-'}{' class' * c.is_class}" for c in columns_of(version)]
    assert lines == _golden(version)
    assert arrow_schema(["a"], version).names == [line.split()[0] for line in lines]


def test_a_change_is_declared_with_a_version_and_a_line_in_the_changelog() -> None:
    assert list(VERSIONS) == sorted(VERSIONS, key=lambda version: [int(part) for part in version.split(".")])
    assert (list(ADDED), CONTRACT_VERSION) == (list(VERSIONS[1:]), VERSIONS[-1])
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    declared = set(re.findall(r"row contract (\d+\.\d+)", changelog, re.IGNORECASE))
    assert declared >= set(VERSIONS[1:])
    assert declared <= set(VERSIONS)


def test_a_version_is_open_until_the_changelog_closes_the_release_that_brings_it() -> None:
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = re.search(r"^## \S+ \(unreleased\)$(.*?)(?=^## )", changelog, re.MULTILINE | re.DOTALL)
    brought = re.findall(r"^\* Row contract (\d+\.\d+):", unreleased[1], re.MULTILINE) if unreleased else []
    assert brought == ([] if OPEN_VERSION is None else [OPEN_VERSION])
    assert OPEN_VERSION in (None, CONTRACT_VERSION)


def test_what_columns_mean_is_held_still_too() -> None:
    assert {CONTRACT_VERSION: digest([[c.name, c.meaning] for c in COLUMNS])} == MEANING


def test_kinds_and_image_are_those_of_the_contract() -> None:
    assert KINDS == {"adversarial": "A", "generated": "G", "augmented": "U"}
    assert str(IMAGE) == "struct<bytes: binary, path: string>"


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(RunError, match=r"row contract 9\.9 is not known here \(1\.0, 1\.1, 1\.2 are\)"):
        columns_of("9.9")


def test_quarantine_columns_are_those_of_every_version() -> None:
    names = "source_dataset source_split source_index source_key run_id recipe_id variant stage error_class message"
    kinds = "string string int64 string string string int32 string string string"
    assert QUARANTINE_SCHEMA.names == names.split()
    assert [str(t) for t in QUARANTINE_SCHEMA.types] == kinds.split()


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
    assert len({schema_sha256(["a"], version) for version in VERSIONS}) == len(VERSIONS)
