"""What an augmentation promises: rows that depend on their own seed alone, and parameters that make them again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardset.pipeline.augment import applying
from hardset.pipeline.augment.operation import Operation, nothing
from hardset.pipeline.augment.parameters import draw, to_json
from hardset.pipeline.augment.recipe import AugmentRecipe, replay_params
from hardset.pipeline.augment.table import OPERATIONS
from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.recipes import Augment
from tests.augment.images import document, settings_of

CPU = torch.device("cpu")
ALL = (
    {"name": "hflip"},
    {"name": "vflip", "p": 0.25},
    {"name": "rotate", "degrees": 15, "p": 0.8},
    {"name": "crop", "padding": 2},
    {"name": "gaussian_noise", "std": 0.05, "p": 0.7},
)


def clean_rows(count: int, shape: tuple[int, int, int] = (8, 8, 1), seed: int = 0) -> CleanRows:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
    return CleanRows(
        pixels=pixels,
        labels=np.zeros(count, np.int64),
        keys=tuple(f"row#{i}" for i in range(count)),
        indices=np.arange(count),
    )


def seeds_of(rows: int, variants: int = 1) -> NDArray[np.int64]:
    return np.random.default_rng(9).integers(0, 2**63, (rows, variants), np.int64)


def chosen(rows: CleanRows, order: list[int]) -> CleanRows:
    return CleanRows(rows.pixels[order], rows.labels[order], tuple(rows.keys[i] for i in order), rows.indices[order])


def made(ops: object, rows: CleanRows, seeds: NDArray[np.int64], batch: int = 256) -> MadeRows:
    spec = Augment.model_validate({"ops": ops, "variants": seeds.shape[1]})
    return AugmentRecipe(spec, batch=batch, device=CPU).make(rows, seeds)


def test_rows_come_in_the_order_parent_then_variant() -> None:
    rows = clean_rows(3)
    out = made([{"name": "hflip"}], rows, seeds_of(3, 2))
    assert out.parents.tolist() == [0, 0, 1, 1, 2, 2]
    assert out.variants.tolist() == [0, 1, 0, 1, 0, 1]
    assert (out.parents.dtype, out.variants.dtype) == (np.int64, np.int32)
    assert len(out.columns["params"]) == len(out.pixels) == 6


@pytest.mark.parametrize("op", [*ALL, list(ALL)], ids=lambda op: op["name"] if isinstance(op, dict) else "all")
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3)], ids=str)
def test_a_row_does_not_depend_on_its_neighbours_order_or_batch(op: object, shape: tuple[int, int, int]) -> None:
    ops = op if isinstance(op, list) else [op]
    rows, seeds = clean_rows(61, shape), seeds_of(61, 2)
    whole = made(ops, rows, seeds)
    order = np.random.default_rng(3).permutation(61)[:40].tolist()
    part = made(ops, chosen(rows, order), seeds[order], batch=7)
    positions = [2 * parent + variant for parent in order for variant in (0, 1)]
    assert np.array_equal(part.pixels, whole.pixels[positions])
    assert list(part.columns["params"]) == [whole.columns["params"][i] for i in positions]


@settings(max_examples=40, deadline=None)
@given(
    ops=st.lists(
        st.one_of(
            st.builds(lambda p: {"name": "hflip", "p": p}, st.floats(0, 1)),
            st.builds(lambda p: {"name": "vflip", "p": p}, st.floats(0, 1)),
            st.builds(lambda d, p: {"name": "rotate", "degrees": d, "p": p}, st.floats(0.01, 180), st.floats(0, 1)),
            st.builds(lambda n: {"name": "crop", "padding": n}, st.integers(1, 12)),
            st.builds(lambda s: {"name": "gaussian_noise", "std": s}, st.floats(1e-3, 1)),
        ),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 2**63 - 1),
)
def test_stored_parameters_make_the_same_bytes_again(ops: list[dict[str, object]], seed: int) -> None:
    rows = clean_rows(2, (6, 7, 3), seed % 1000)
    seeds = np.array([[seed], [seed ^ 12345]], np.int64)
    out = made(ops, rows, seeds)
    for row in range(2):
        again = replay_params(rows.pixels[row], out.columns["params"][row], int(seeds[row, 0]))
        assert np.array_equal(again, out.pixels[row])


def test_params_name_every_operation_and_only_what_was_drawn() -> None:
    out = made(ALL, clean_rows(200), seeds_of(200))
    drawn = [json.loads(text) for text in out.columns["params"]]
    wanted = {"hflip": set(), "vflip": set(), "rotate": {"degrees"}, "crop": {"top", "left"}, "gaussian_noise": {"std"}}
    for steps in drawn:
        assert [step["name"] for step in steps] == list(wanted)
        for step in steps:
            assert step.keys() - {"name", "applied"} == (wanted[step["name"]] if step["applied"] else set())
    for position, share in enumerate((0.5, 0.25, 0.8, 1.0, 0.7)):
        applied = np.mean([steps[position]["applied"] for steps in drawn])
        assert abs(applied - share) < 0.15
    degrees = [steps[2]["degrees"] for steps in drawn if steps[2]["applied"]]
    assert -15 <= min(degrees) < -10 and 10 < max(degrees) < 15
    assert {steps[3]["top"] for steps in drawn} == set(range(-2, 3))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_is_kept_to_the_row(share: float) -> None:
    rows = clean_rows(300)
    out = made([{"name": "hflip", "p": share}], rows, seeds_of(300))
    assert np.array_equal(out.pixels, rows.pixels[:, :, ::-1] if share else rows.pixels)


def test_values_are_clamped_and_rounded_half_to_even() -> None:
    pixels = applying.to_pixels(torch.tensor([0.5, 1.5, 2.5, 254.5]).reshape(1, 1, 2, 2) / 255)
    assert pixels.ravel().tolist() == [0, 2, 2, 254]
    rows = clean_rows(50)
    out = made([{"name": "gaussian_noise", "std": 1}], rows, seeds_of(50))
    assert {0, 255} <= set(out.pixels.ravel().tolist())


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = made(ALL, clean_rows(5), seeds_of(5))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert np.array_equal(first.pixels, made(ALL, clean_rows(5), seeds_of(5)).pixels)


def test_no_rows_in_gives_no_rows_out() -> None:
    out = made(ALL, clean_rows(0), seeds_of(0))
    assert out.pixels.shape == (0, 8, 8, 1) and len(out) == 0 and list(out.columns["params"]) == []


def test_large_images_are_worked_on_a_few_at_a_time_by_operations_on_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = applying.to_images
    monkeypatch.setattr(applying, "to_images", lambda pixels, device: sizes.append(pixels.size) or real(pixels, device))
    made([{"name": f"{__name__}:DARKER"}], clean_rows(20, (224, 224, 3)), seeds_of(20))
    assert sum(sizes) == 20 * 224 * 224 * 3 and max(sizes) <= 1 << 20


class Darker(OperationSettings):
    """Halves all values."""


DARKER = Operation(Darker, nothing, lambda images, parameters, stream: images / 2)


MIXING = ("mixup", "cutmix", "patch_mix")


def test_params_are_what_a_json_encoder_writes_of_each_row() -> None:
    for name in (one for one in OPERATIONS if one not in MIXING):
        out = made([document(name, p=0.6)], clean_rows(30, (16, 16, 3)), seeds_of(30))
        for text in out.columns["params"]:
            assert json.dumps(json.loads(text), separators=(",", ":")) == text
    assert to_json(draw((settings_of("rotate"),), torch.zeros(0, dtype=torch.int64)), 0) == []
