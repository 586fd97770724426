"""What every built-in operation promises, over the whole table: shapes, seeds, draws, settings of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardset.pipeline.augment.recipe import AugmentRecipe, replay_params
from hardset.pipeline.augment.table import OPERATIONS, settled
from hardset.pipeline.batches import CleanRows, MadeRows, Partners
from hardset.schemas.digests import image_sha256
from hardset.schemas.job.operations.amounts import WholeInterval, Within
from hardset.schemas.job.operations.table import BY_NAME
from hardset.schemas.job.recipes import Augment
from hardset.schemas.reading.loading import parse_job
from tests.augment.images import document, photograph
from tests.support import make_here

SHAPES = [(1, 1, 1), (2, 3, 3), (7, 5, 1), (33, 20, 3), (16, 16, 3)]


def made(op: dict[str, Any], shape: tuple[int, int, int], rows: int = 12) -> tuple[CleanRows, MadeRows, Partners]:
    whole = photograph(96, 128, shape[2])
    pixels = np.stack([whole[at : at + shape[0], 3 * at : 3 * at + shape[1]] for at in range(rows)])
    clean = CleanRows(pixels, np.arange(rows) % 3, tuple(map(str, range(rows))), np.arange(rows))
    pool = Partners(pixels[::-1], clean.labels[::-1], clean.keys, tuple(map(image_sha256, pixels[::-1])))
    spec = Augment.model_validate({"ops": [op]})
    recipe = AugmentRecipe(spec, batch=5, device=torch.device("cpu"), partners=lambda split: pool)
    return clean, recipe.make(clean, np.arange(rows, dtype=np.int64)[:, None] * 7919), pool


def fits(name: str, shape: tuple[int, int, int]) -> bool:
    """Whether the planning of a run would take images of the shape."""
    (spec,) = Augment.model_validate({"ops": [document(name)]}).ops
    try:
        settled(spec).check_image(*shape)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_shape_that_is_planned_comes_out_in_shape_and_again_from_params(name: str) -> None:
    tried = [shape for shape in SHAPES if fits(name, shape)]
    assert (16, 16, 3) in tried
    for shape in tried:
        clean, out, pool = made(document(name), shape)
        assert out.pixels.shape == (12, *shape) and out.pixels.dtype == np.uint8
        for row in (0, 11):
            again = replay_params(clean.pixels[row], out.columns["params"][row], row * 7919, pool)
            assert np.array_equal(again, out.pixels[row]), shape


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_leaves_a_plain_image_unless_it_says_so(name: str) -> None:
    _, out, _ = made(document(name, p=1), (33, 33, 3))
    if not BY_NAME[name].flattens:
        assert min(int(np.ptp(image)) for image in out.pixels) > 0


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("crop",)])
def test_an_operation_that_is_never_applied_changes_nothing(name: str) -> None:
    clean, out, _ = made(document(name, p=0), (16, 16, 3))
    assert np.array_equal(out.pixels, clean.pixels)


def amounts(name: str) -> dict[str, Within]:
    """The settings of an operation that are amounts, with their bounds."""
    fields = BY_NAME[name].model_fields
    return {key: rule for key, field in fields.items() for rule in field.metadata if isinstance(rule, Within)}


def whole(name: str, key: str) -> bool:
    return WholeInterval in get_args(BY_NAME[name].model_fields[key].annotation)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_amounts_within_their_bounds_make_rows_that_come_again(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([one for one in OPERATIONS if amounts(one)]))
    given_: dict[str, Any] = {}
    for key, bounds in amounts(name).items():
        numbers: Any = (
            st.integers(int(np.ceil(bounds.least)), int(min(bounds.most, 12)))
            if whole(name, key)
            else st.floats(bounds.least + (1e-3 if bounds.above else 0), min(bounds.most, 12))
        )
        if name == "median_blur":
            numbers = st.sampled_from([3, 5, 7])
        if name == "some_of":
            numbers = st.integers(0, 3)
        kind = data.draw(st.sampled_from(["number", "list", *(["range"] if name != "median_blur" else [])]))
        if kind == "number":
            value = data.draw(numbers)
            if (name, key) == ("rotate", "degrees"):
                value = max(abs(value), 1e-3)
        elif kind == "list":
            value = data.draw(st.lists(numbers, min_size=1, max_size=3))
        else:
            low, high = sorted((data.draw(numbers), data.draw(numbers)))
            value = {"min": low, "max": high}
        given_[key] = value
    op = document(name, **given_)
    clean, out, pool = made(op, (16, 16, 3), rows=3)
    for row in range(3):
        again = replay_params(clean.pixels[row], out.columns["params"][row], row * 7919, pool)
        assert np.array_equal(again, out.pixels[row])


@pytest.mark.parametrize(
    ("op", "sentence"),
    [
        ({"name": "clahe", "tiles": 9}, "tiles: got 9, and rows are 8 x 12; wants at most 8"),
        ({"name": "patch_mix", "cells": 9}, "cells: got 9, and rows are 8 x 12; wants at most 8"),
        ({"name": "grid_mask", "period": [3, 13]}, "period: got 13, and rows are 8 x 12; wants at most 12"),
        (
            {"name": "grid_mask", "period": {"min": 3, "max": 13}},
            "period: got 13, and rows are 8 x 12; wants at most 12",
        ),
    ],
)
def test_more_parts_than_an_image_has_room_for_are_refused(op: dict[str, Any], sentence: str) -> None:
    (spec,) = Augment.model_validate({"ops": [op]}).ops
    with pytest.raises(ValueError) as caught:
        settled(spec).check_image(8, 12, 3)
    assert str(caught.value) == sentence
    settled(spec).check_image(13, 13, 3)


OUT_OF_BOUNDS = [(name, key) for name in OPERATIONS for key in amounts(name)]


@pytest.mark.parametrize(("name", "key"), OUT_OF_BOUNDS)
def test_numbers_beyond_their_bounds_are_refused_with_the_bounds(name: str, key: str) -> None:
    from hardset.schemas.errors import JobError
    from hardset.schemas.reading.loading import parse_document

    bounds = amounts(name)[key]
    for bad in (bounds.most + 1, [bounds.most + 1], {"min": bounds.least - 1, "max": bounds.most}, []):
        value: Any = bad
        if whole(name, key) and isinstance(bad, dict):
            value = {one: int(number) for one, number in bad.items()}
        with pytest.raises(JobError, match=rf"ops\.0\.{key}: got .*; wants "):
            parse_document({"ops": [document(name, **{key: value})]}, (), Augment, name="job")
    with pytest.raises(JobError, match=rf"ops\.0\.{key}\.min: got .*; wants at most max"):
        parse_document({"ops": [document(name, **{key: {"min": 2, "max": 1}})]}, (), Augment, name="job")


LARGE_KERNELS = [
    ({"name": "glass_blur", "shift": 4}, "shift: makes a kernel of 9 pixels"),
    ({"name": "median_blur", "size": [3, 9]}, "size: makes a kernel of 9 pixels"),
    ({"name": "motion_blur", "length": 9}, "length: makes a kernel of 9 pixels"),
    ({"name": "defocus_blur", "radius": 4}, "radius: makes a kernel of 9 pixels"),
]


@pytest.mark.parametrize(("op", "sentence"), LARGE_KERNELS, ids=[op["name"] for op, _ in LARGE_KERNELS])
def test_a_kernel_larger_than_the_image_is_refused(op: dict[str, Any], sentence: str) -> None:
    (spec,) = Augment.model_validate({"ops": [op]}).ops
    with pytest.raises(ValueError) as caught:
        settled(spec).check_image(8, 40, 3)
    assert str(caught.value) == f"{sentence}, and rows are 8 x 40; wants at most 8"
    settled(spec).check_image(40, 40, 3)


def test_rows_are_the_same_in_any_shards_whatever_their_order(tmp_path: Path) -> None:
    """All operations in one job, each a recipe: in one shard, and in several that two threads make backwards."""
    pixels = np.stack([photograph(96, 128)[at : at + 16, 5 * at : 5 * at + 16] for at in range(4)])
    np.savez(tmp_path / "rows.npz", images=pixels, labels=np.arange(4) % 2)
    found = []
    for name, shard_rows, settings_ in (("one", 4, {}), ("some", 2, {"depth": 2, "order": lambda all_: all_[::-1]})):
        job = parse_job(
            {
                "name": "table",
                "source": {"format": "npz", "path": str(tmp_path / "rows.npz"), "classes": ["a", "b"]},
                "recipes": [{"kind": "augment", "ops": [document(one)]} for one in OPERATIONS],
                "output": {"path": str(tmp_path / name), "shard_rows": shard_rows},
            }
        )
        make_here(job, **settings_)
        table = pq.read_table(tmp_path / name / "data", columns=["row_id", "image_sha256", "params"]).to_pydict()
        found.append(dict(zip(table["row_id"], zip(table["image_sha256"], table["params"], strict=True), strict=True)))
    assert len(found[0]) == 4 * len(OPERATIONS) and found[0] == found[1]
