"""Policies: what they draw and how often, and that it is applied as it stands in `params`."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from hardset.pipeline.augment.recipe import AugmentRecipe, replay_params
from hardset.pipeline.augment.spaces import AUTO_PAIRS, BINS, RAND
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.recipes.table import code_versions, recipe_text
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.noise import GaussianNoise
from hardset.schemas.job.operations.warps import Rotate
from hardset.schemas.job.recipes import Augment
from hardset.schemas.reading.loading import parse_job
from tests.augment.images import change, far, photograph

LEAST = 1e-4


def made(op: dict[str, Any], rows: int = 400, image: np.ndarray | None = None) -> tuple[np.ndarray, list[Any]]:
    """Images of one photograph, and what was drawn for the only operation."""
    image = photograph(16, 16) if image is None else image
    pixels = np.stack([image] * rows)
    clean = CleanRows(pixels, np.zeros(rows, np.int64), tuple(map(str, range(rows))), np.arange(rows))
    recipe = AugmentRecipe(Augment.model_validate({"ops": [op]}), batch=128, device=torch.device("cpu"))
    seeds = np.arange(rows, dtype=np.int64)[:, None] * 7919
    out = recipe.make(clean, seeds)
    for row in range(0, rows, 37):
        params = str(out.columns["params"][row])
        assert np.array_equal(replay_params(image, params, int(seeds[row, 0])), out.pixels[row])
    return out.pixels, [json.loads(text)[0] for text in out.columns["params"]]


def by_hand(entries: list[dict[str, Any]], image: np.ndarray) -> np.ndarray:
    for entry in entries:
        image = change(entry["name"], image, **{name: value for name, value in entry.items() if name != "name"})
    return image


OPS = [{"name": "invert", "p": 1}, {"name": "rotate", "degrees": [20]}, {"name": "brightness", "amount": 0.1}]


def test_one_of_draws_one_as_often_as_its_weight_says() -> None:
    pixels, drawn = made({"name": "one_of", "ops": OPS, "weights": [1, 2, 5]}, 2000)
    assert all(len(one["ops"]) == 1 for one in drawn)
    counts = Counter(one["ops"][0]["name"] for one in drawn)
    found = [counts[op["name"]] for op in OPS]
    assert stats.chisquare(found, np.array([1, 2, 5]) / 8 * 2000).pvalue > LEAST
    for row in range(20):
        assert np.array_equal(pixels[row], by_hand(drawn[row]["ops"], photograph(16, 16)))


def test_some_of_draws_different_ones_in_any_order() -> None:
    pixels, drawn = made({"name": "some_of", "ops": OPS, "count": {"min": 1, "max": 3}}, 3000)
    orders = Counter(tuple(op["name"] for op in one["ops"]) for one in drawn)
    assert all(len(set(order)) == len(order) for order in orders)
    lengths = Counter(len(one["ops"]) for one in drawn)
    assert stats.chisquare([lengths[count] for count in (1, 2, 3)]).pvalue > LEAST
    whole = [count for order, count in orders.items() if len(order) == 3]
    assert len(whole) == 6 and stats.chisquare(whole).pvalue > LEAST
    for row in range(20):
        assert np.array_equal(pixels[row], by_hand(drawn[row]["ops"], photograph(16, 16)))


def test_shuffle_applies_all_that_their_p_leaves() -> None:
    ops = [{**op, "p": 0.5} for op in OPS]
    _, drawn = made({"name": "shuffle", "ops": ops}, 2000)
    lengths = Counter(len(one["ops"]) for one in drawn)
    wanted = stats.binom.pmf(range(4), 3, 0.5) * 2000
    assert stats.chisquare([lengths[count] for count in range(4)], wanted).pvalue > LEAST


def test_noise_inside_a_policy_is_the_rows_own_at_its_place() -> None:
    ops = [{"name": "gaussian_noise", "std": 0.1}, {"name": "impulse_noise", "amount": 0.2}]
    pixels, _ = made({"name": "shuffle", "ops": ops}, 40)
    assert len({row.tobytes() for row in pixels}) == 40


def test_rand_augment_draws_n_with_the_strength_m() -> None:
    pixels, drawn = made({"name": "rand_augment", "n": 3, "m": 15, "fill": 7}, 3000)
    counts = Counter(_published(op) for one in drawn for op in one["ops"])
    identity = 9000 - sum(counts.values())
    found = [identity if name == "identity" else counts[name] for name in RAND]
    assert stats.chisquare(found).pvalue > LEAST
    for op in (op for one in drawn for op in one["ops"]):
        if op["name"] == "rotate":
            assert abs(op["degrees"]) == 15 and op["fill"] == 7 and op["interpolation"] == "nearest"
        if op["name"] == "posterize":
            assert op["bits"] == 6
        if op["name"] == "solarize":
            assert op["threshold"] == 128
        if op["name"] == "contrast":
            assert op["factor"] == pytest.approx(1.45) or op["factor"] == pytest.approx(0.55)
        if op["name"] == "translate":
            assert abs(op["x"]) + abs(op["y"]) == pytest.approx(75 / 331)
        if op["name"] == "shear":
            assert np.tan(np.radians(abs(op["x"]) + abs(op["y"]))) == pytest.approx(0.15)
    for row in range(20):
        assert np.array_equal(pixels[row], by_hand(drawn[row]["ops"], photograph(16, 16)))


def _published(op: dict[str, Any]) -> str:
    name = {"saturation": "color", "sharpen": "sharpness"}.get(op["name"], op["name"])
    return f"{name}_{'x' if op['x'] else 'y'}" if name in ("shear", "translate") else name


def test_strength_zero_changes_nothing_but_histograms() -> None:
    image = photograph(16, 16)
    pixels, drawn = made({"name": "rand_augment", "n": 2, "m": 0}, 300, image)
    for found, one in zip(pixels, drawn, strict=True):
        names = {op["name"] for op in one["ops"]}
        if not names & {"equalize", "autocontrast", "solarize"}:
            assert far(found, image) <= 1


def test_trivial_augment_draws_one_of_31_strengths() -> None:
    _, drawn = made({"name": "trivial_augment"}, 6000)
    turns = [op["degrees"] for one in drawn for op in one["ops"] if op["name"] == "rotate"]
    bins = np.rint(np.abs(turns) / 135 * (BINS - 1)).astype(int)
    assert stats.chisquare(np.bincount(bins, minlength=BINS)).pvalue > LEAST
    shifts = [op for one in drawn for op in one["ops"] if op["name"] == "translate"]
    assert {op["unit"] for op in shifts} == {"pixels"} and max(abs(op["x"]) + abs(op["y"]) for op in shifts) == 32
    assert min(op["bits"] for one in drawn for op in one["ops"] if op["name"] == "posterize") == 2


@pytest.mark.parametrize("policy", AUTO_PAIRS)
def test_auto_augment_draws_published_pairs(policy: str) -> None:
    pairs = AUTO_PAIRS[policy]
    assert len(pairs) == 25
    _, drawn = made({"name": "auto_augment", "policy": policy}, 4000)
    wanted: Counter[str] = Counter()
    for pair in pairs:
        for name, chance, _ in pair:
            wanted[name] += chance / 25 * 4000
    found = Counter(
        _published(op) if op.get("x") or op.get("y") or "x" not in op else "none" for one in drawn for op in one["ops"]
    )
    for name, count in wanted.items():
        assert abs(found[name] - count) <= 6 * count**0.5 + 1, name


def test_aug_mix_mixes_chains_with_weights_that_add_up() -> None:
    image = photograph(16, 16)
    pixels, drawn = made({"name": "aug_mix"}, 2000, image)
    shares = np.array([one["share"] for one in drawn])
    assert stats.kstest(shares, "uniform").pvalue > LEAST  # Beta(1, 1)
    weights = np.array([one["weights"] for one in drawn])
    assert np.allclose(weights.sum(axis=1), 1)
    assert stats.kstest(weights[:, 0], "beta", (1, 2)).pvalue > LEAST  # the margin of Dirichlet(1, 1, 1)
    depths = Counter(len(chain) for one in drawn for chain in one["chains"])
    assert stats.chisquare([depths[depth] for depth in (1, 2, 3)]).pvalue > LEAST
    names = {op["name"] for one in drawn for chain in one["chains"] for op in chain}
    assert names == {"autocontrast", "equalize", "posterize", "rotate", "solarize", "shear", "translate"}
    for row in range(20):
        one = drawn[row]
        chains = [by_hand(chain, image).astype(float) for chain in one["chains"]]
        mixed = sum(weight * chain for weight, chain in zip(one["weights"], chains, strict=True))
        assert far(pixels[row], (1 - one["share"]) * image + one["share"] * mixed) <= 0.51
    _, drawn = made({"name": "aug_mix", "overlapping": True}, 300, image)
    assert {"saturation", "contrast", "brightness", "sharpen"} <= {
        op["name"] for one in drawn for chain in one["chains"] for op in chain
    }


@pytest.mark.parametrize(
    "policy", [{"name": "rand_augment"}, {"name": "one_of", "ops": [{"name": "rotate", "degrees": 3}]}]
)
def test_code_versions_of_what_a_policy_draws_name_its_recipes(
    policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def text() -> dict[str, Any]:
        return recipe_text(Augment.model_validate({"ops": [policy]}), 0, {})

    before = text()
    assert all(then == now for _, then, now in code_versions(before))
    monkeypatch.setattr(GaussianNoise, "code", 9)
    assert text() == before
    monkeypatch.setattr(Rotate, "code", 9)
    assert text() != before
    assert [name for name, then, now in code_versions(before) if then != now] == ["rotate"]


FAULTS = [
    ({"name": "one_of", "ops": []}, r"ops\.0\.ops: got an empty list"),
    ({"name": "one_of", "ops": OPS, "weights": [1]}, r"ops\.0\.weights: got 1; wants one for each of the 3 ops"),
    ({"name": "one_of", "ops": OPS, "weights": [1, 1, -1]}, r"ops\.0\.weights\.2: got -1"),
    ({"name": "some_of", "ops": OPS, "count": 4}, r"ops\.0\.count: got up to 4, and there are 3 ops"),
    ({"name": "shuffle", "ops": [{"name": "hue"}]}, r"ops\.0\.ops\.0\.name: hue changes colours"),
    ({"name": "shuffle", "ops": [{"name": "one_of", "ops": OPS}]}, r"ops\.0\.ops\.0\.name: got 'one_of'"),
    ({"name": "shuffle", "ops": [{"name": "nowhere:X"}]}, r"ops\.0\.ops\.0\.name: nowhere cannot be imported"),
    ({"name": "rand_augment", "m": 31}, r"ops\.0\.m: got 31; wants numbers from 0 to 30"),
    ({"name": "auto_augment", "policy": "mnist"}, r"ops\.0\.policy: got 'mnist'"),
    ({"name": "aug_mix", "severity": 11}, r"ops\.0\.severity: got 11"),
]


@pytest.mark.parametrize(("op", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_what_a_policy_cannot_use_is_named(op: dict[str, Any], sentence: str) -> None:
    job = {
        "name": "policies",
        "source": {"format": "digits", "limit": 8},
        "recipes": [{"kind": "augment", "ops": [op]}],
        "output": {"path": "memory://none"},
    }
    with pytest.raises(JobError, match=rf"recipes\.0\.{sentence}"):
        make_plan(parse_job(job))
