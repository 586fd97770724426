"""Identities must not change by accident: each is compared with a value that was worked out once and written down."""

from __future__ import annotations

import hashlib
import math
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.schemas.digests import (
    canonical_json,
    content_sha256,
    digest,
    image_sha256,
    recipe_id,
    row_id,
    row_seed,
    run_id,
    sha256_hex,
)

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

GOLDEN = {
    "recipe_id": "13e3902a72218397",
    "image_sha256": "b1dd058188e3262b8d76b9f5890c9c9c75eb3958292559cea9818bbb32c6fa71",
    "row_id": "de678a42ad073d5449f648d5ae88698d",
    "row_seed": "1648091381120199996",
    "content_sha256": "6408fdc5c36df5df57957e7b230e4b48c55b06ce849303e855d52f1356f2980e",
}


def test_golden_values() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é", "c": {"y": True, "x": "8/255"}}) == (
        '{"a":"é","b":[1,2.5,null],"c":{"x":"8/255","y":true}}'
    )
    assert recipe_id({"kind": "attack", "eps": "8/255"}) == GOLDEN["recipe_id"]
    assert image_sha256(PIXELS) == GOLDEN["image_sha256"]
    assert row_id(recipe="r", source_sha256="s", source_key="k", variant=3) == GOLDEN["row_id"]
    assert row_seed(run_seed=7, recipe="r", source_key="k", variant=3) == int(GOLDEN["row_seed"])
    assert content_sha256([("b", "2"), ("a", "1")]) == GOLDEN["content_sha256"]
    assert run_id("0123456789abcdef" * 4) == "01234567-89ab-8def-8123-456789abcdef"


def test_the_definitions_hold_in_the_words_of_the_contract() -> None:
    assert image_sha256(PIXELS) == hashlib.sha256(b"u8:2:4:3:" + bytes(range(24))).hexdigest()
    assert row_id(recipe="r", source_sha256="s", source_key="k", variant=3) == sha256_hex(b"r\x1fs\x1fk\x1f3")[:32]
    seed = hashlib.blake2b(b"7\x1fr\x1fk\x1f3", digest_size=8).digest()
    assert row_seed(run_seed=7, recipe="r", source_key="k", variant=3) == int.from_bytes(seed, "big") // 2
    assert content_sha256([("b", "2"), ("a", "1")]) == sha256_hex("a:1\nb:2\n")


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_has_no_digest(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": value})


def test_an_images_digest_is_of_its_pixels_and_shape_alone() -> None:
    assert image_sha256(PIXELS) != image_sha256(PIXELS.reshape(4, 2, 3))
    assert image_sha256(PIXELS[:, ::-1]) == image_sha256(PIXELS[:, ::-1].copy()) != image_sha256(PIXELS)


ROWS = st.fixed_dictionaries(
    {
        "recipe": st.text("ab", max_size=3),
        "source_sha256": st.text("ab", max_size=3),
        "source_key": st.text("a/#1", max_size=4),
        "variant": st.integers(0, 20),
    }
)


@given(ROWS, ROWS)
def test_rows_that_differ_have_ids_that_differ(one: dict[str, object], other: dict[str, object]) -> None:
    assert (row_id(**one) == row_id(**other)) == (one == other)  # type: ignore[arg-type]


@given(st.integers(0, 2**63 - 1), st.text(max_size=5), st.integers(0, 10))
def test_seeds_fit_a_signed_column(run_seed: int, key: str, variant: int) -> None:
    assert 0 <= row_seed(run_seed=run_seed, recipe="r", source_key=key, variant=variant) < 2**63


@given(HEX)
def test_a_run_id_is_a_version_8_uuid_of_its_plan(plan: str) -> None:
    found = uuid.UUID(run_id(plan))
    assert str(found) == run_id(plan)
    assert found.version == 8
    assert found.variant == uuid.RFC_4122
    fixed = (0xF << 76) | (0x3 << 62)
    assert found.int & ~fixed == int(plan[:32], 16) & ~fixed


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]))
def test_content_has_no_order(rows: list[tuple[str, str]]) -> None:
    assert content_sha256(rows) == content_sha256([("a", "1"), ("b", "2"), ("c", "3")])
    assert content_sha256(rows) != content_sha256([("a", "2"), ("b", "1"), ("c", "3")])


@given(st.lists(st.tuples(st.text("0:a", max_size=3), st.text("01", max_size=3))))
def test_content_is_sorted_by_row_whatever_the_rows_are_called(rows: list[tuple[str, str]]) -> None:
    assert content_sha256(rows) == sha256_hex("".join(f"{row}:{image}\n" for row, image in sorted(rows)))
