"""Augmentation: oracles for each operation, records that replay, rows that do not know their neighbours."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.augment.operations import KINDS
from pipeline.augment.recipe import AugmentRecipe, replay_params
from pipeline.rows import CleanRows, MadeRows
from schemas import recipes as declared
from schemas.recipes import Augment

CPU = torch.device("cpu")
ALL = [
    {"name": "hflip"},
    {"name": "vflip", "p": 0.3},
    {"name": "rotate", "degrees": 25, "p": 0.8},
    {"name": "crop", "padding": 2},
    {"name": "gaussian_noise", "std": 0.05},
]


def rows_of(count: int, shape: tuple[int, int, int] = (9, 7, 3)) -> CleanRows:
    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    return CleanRows(pixels, np.zeros(count, np.int64), tuple(map(str, range(count))), np.arange(count))


def seeds_of(count: int, variants: int) -> NDArray[np.int64]:
    return np.random.default_rng(4).integers(0, 2**62, (count, variants))


def made(ops: list[dict[str, Any]], rows: CleanRows, seeds: NDArray[np.int64], batch: int = 8) -> MadeRows:
    spec = Augment.model_validate({"ops": ops, "variants": seeds.shape[1]})
    return AugmentRecipe(spec, batch=batch, device=CPU).make(rows, seeds)


def test_every_declared_operation_is_in_the_table() -> None:
    names = {kind.model_fields["name"].default for kind in KINDS}
    assert names == {op["name"] for op in ALL}
    assert all(kind.__module__ == declared.__name__ for kind in KINDS)


def test_order_is_parent_then_variant_and_every_row_has_its_record() -> None:
    result = made(ALL, rows_of(5), seeds_of(5, 3))
    assert result.parents.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert result.variants.tolist() == [0, 1, 2] * 5
    record = json.loads(str(result.columns["params"][0]))
    assert [entry["name"] for entry in record] == [op["name"] for op in ALL]
    assert abs(record[2]["degrees"]) <= 25


def test_rows_do_not_depend_on_order_or_neighbours() -> None:
    rows, seeds = rows_of(13), seeds_of(13, 1)
    whole = made(ALL, rows, seeds).pixels
    order = np.random.default_rng(0).permutation(13)
    shuffled = CleanRows(rows.pixels[order], rows.labels, rows.keys, rows.indices)
    np.testing.assert_array_equal(made(ALL, shuffled, seeds[order]).pixels, whole[order])
    alone = CleanRows(rows.pixels[4:5], rows.labels[:1], rows.keys[:1], rows.indices[:1])
    np.testing.assert_array_equal(made(ALL, alone, seeds[4:5]).pixels[0], whole[4])


def test_stored_params_give_the_same_bytes_again() -> None:
    rows, seeds = rows_of(11), seeds_of(11, 2)
    result = made(ALL, rows, seeds)
    ops = Augment.model_validate({"ops": ALL}).ops
    params = [str(text) for text in result.columns["params"]]
    again = replay_params(ops, rows.pixels[result.parents], params, seeds.reshape(-1))
    np.testing.assert_array_equal(again, result.pixels)


def test_flips_are_exact() -> None:
    rows = rows_of(6)
    np.testing.assert_array_equal(
        made([{"name": "hflip", "p": 1}], rows, seeds_of(6, 1)).pixels, rows.pixels[:, :, ::-1]
    )
    np.testing.assert_array_equal(made([{"name": "vflip", "p": 1}], rows, seeds_of(6, 1)).pixels, rows.pixels[:, ::-1])
    np.testing.assert_array_equal(made([{"name": "hflip", "p": 0}], rows, seeds_of(6, 1)).pixels, rows.pixels)


def test_crop_is_a_shift_with_zero_fill() -> None:
    rows, seeds = rows_of(20), seeds_of(20, 1)
    result = made([{"name": "crop", "padding": 2}], rows, seeds)
    corners = set()
    for i, text in enumerate(result.columns["params"]):
        entry = json.loads(str(text))[0]
        padded = np.pad(rows.pixels[i], ((2, 2), (2, 2), (0, 0)))
        expected = padded[entry["top"] : entry["top"] + 9, entry["left"] : entry["left"] + 7]
        np.testing.assert_array_equal(result.pixels[i], expected)
        corners.add((entry["top"], entry["left"]))
    assert len(corners) > 8


def test_quarter_turns_are_exact() -> None:
    from pipeline.augment.operations import Rows, apply

    images = torch.from_numpy(rows_of(2, (6, 6, 1)).pixels).permute(0, 3, 1, 2).float()
    spec = Augment.model_validate({"ops": [{"name": "rotate", "degrees": 90}]}).ops[0]
    drawn = {"applied": torch.ones(2, dtype=torch.bool), "degrees": torch.tensor([90.0, -90.0])}
    turned = apply(spec, images, drawn, Rows(torch.zeros(2, dtype=torch.int64), 0))
    torch.testing.assert_close(turned[0], images[0].rot90(1, (1, 2)), atol=0.05, rtol=0)
    torch.testing.assert_close(turned[1], images[1].rot90(-1, (1, 2)), atol=0.05, rtol=0)


def test_noise_has_the_declared_deviation() -> None:
    grey = CleanRows(np.full((40, 16, 16, 1), 128, np.uint8), np.zeros(40, np.int64), ("k",) * 40, np.arange(40))
    result = made([{"name": "gaussian_noise", "std": 0.1}], grey, seeds_of(40, 1))
    change = (result.pixels.astype(float) - 128) / 255
    assert change.std() == pytest.approx(0.1, rel=0.03)
    assert abs(change.mean()) < 0.004
