"""The row-keyed generator: known answers, distributions, and independence of everything but the row."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from hardset.pipeline.compute import rng
from hardset.schemas.digests import row_seed

SEEDS = torch.tensor([row_seed(run_seed=7, recipe="r", source_key=f"k#{i}", variant=0) for i in range(64)])
SEED = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter: list[int], key: list[int], answer: list[int]) -> None:
    assert rng.philox(torch.tensor(counter), torch.tensor(key)).tolist() == answer


def philox_in_python(counter: list[int], key: list[int]) -> list[int]:
    """The published algorithm in Python's unbounded integers."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (right >> 32) ^ b ^ k0, right & 0xFFFFFFFF, (left >> 32) ^ d ^ k1, left & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


@given(SEED, st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31 - 1))
def test_words_are_philox_of_seed_draw_restart_step_and_position(seed: int, draw: int, restart: int, step: int) -> None:
    key = [seed & 0xFFFFFFFF, seed >> 32]
    expected = [philox_in_python([block, draw, restart, step], key) for block in range(2)]
    assert rng.words(torch.tensor([seed]), draw, 7, restart, step).tolist() == [list(itertools.chain(*expected))[:7]]


# Distributions.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_is_uniform(dtype: torch.dtype) -> None:
    values = rng.uniform(SEEDS, rng.Draw.START_NOISE, (2000,), dtype=dtype)
    assert values.dtype == dtype
    assert values.min() >= 0 and values.max() < 1
    flat = values.flatten().double()
    assert stats.kstest(flat.numpy(), "uniform").pvalue > 0.01
    error = len(flat) ** -0.5
    assert abs(flat.mean() - 1 / 2) < 3 * error * 12**-0.5
    assert abs(flat.var() - 1 / 12) < 3 * error * 180**-0.5


def test_normal_is_normal() -> None:
    flat = rng.normal(SEEDS, rng.Draw.LATENT, (2000,)).flatten().double()
    assert stats.kstest(flat.numpy(), "norm").pvalue > 0.01
    error = len(flat) ** -0.5
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(flat.pow(power).mean() - moment) < 3 * error * spread**0.5


@pytest.mark.parametrize("high", [2, 10, 1000])
def test_integers_are_even(high: int) -> None:
    values = rng.integers(SEEDS, rng.Draw.TARGET, high, (2000,)).flatten()
    counts = torch.bincount(values, minlength=high)
    assert len(counts) == high
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_neighbouring_values_and_rows_are_uncorrelated() -> None:
    values = rng.normal(SEEDS, rng.Draw.LATENT, (64,))
    values = torch.cat((values, rng.normal(torch.arange(64), rng.Draw.LATENT, (64,))))
    for one, other in ((values[:, 1:], values[:, :-1]), (values[1:], values[:-1])):
        count = one.numel()
        assert abs(float((one * other).mean())) < 3 * count**-0.5


@pytest.mark.parametrize("word", [0, 1, 2**31, 2**32 - 1])
def test_extreme_words_give_values_in_range(monkeypatch: pytest.MonkeyPatch, word: int) -> None:
    def same(seeds: Tensor, draw: int, count: int, restart: Any = 0, step: Any = 0) -> Tensor:
        return torch.full((len(seeds), count), word)

    monkeypatch.setattr(rng, "words", same)
    for dtype in (torch.float32, torch.float64):
        assert 0 <= rng.uniform(SEEDS, 0, dtype=dtype)[0] < 1
    assert rng.normal(SEEDS, 0, (2,)).abs().max() < 6.7
    for high in (1, 10, 2**31):
        assert 0 <= rng.integers(SEEDS, 0, high)[0] < high


# Independence.


@given(st.lists(SEED, min_size=1, max_size=6), st.data())
def test_a_row_does_not_depend_on_its_batch(seeds: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(seeds))))
    whole = rng.normal(torch.tensor(seeds), rng.Draw.LATENT, (2, 3))
    mixed = rng.normal(torch.tensor(seeds)[order], rng.Draw.LATENT, (2, 3))
    assert torch.equal(mixed, whole[order])
    for place, seed in enumerate(seeds):
        assert torch.equal(rng.normal(torch.tensor([seed]), rng.Draw.LATENT, (2, 3))[0], whole[place])


def test_more_values_begin_with_the_same_ones() -> None:
    long = rng.words(SEEDS, 0, 103)
    for count in (1, 4, 5, 102):
        assert torch.equal(rng.words(SEEDS, 0, count), long[:, :count])


def test_each_row_may_have_a_restart_of_its_own() -> None:
    restarts = torch.arange(len(SEEDS)) % 3
    mixed = rng.uniform(SEEDS, rng.Draw.START_NOISE, (4,), restarts)
    for restart in range(3):
        rows = restarts == restart
        assert torch.equal(mixed[rows], rng.uniform(SEEDS[rows], rng.Draw.START_NOISE, (4,), restart))


def test_each_row_may_be_at_a_step_of_its_own() -> None:
    steps = (torch.arange(len(SEEDS)) % 3).to(torch.int32)
    mixed = rng.uniform(SEEDS, rng.Draw.SQUARE, (4,), 1, step=steps)
    for step in range(3):
        rows = steps == step
        assert torch.equal(mixed[rows], rng.uniform(SEEDS[rows], rng.Draw.SQUARE, (4,), 1, step=step))
    assert torch.equal(rng.words(SEEDS, 5, 4, 1), rng.words(SEEDS, 5, 4, 1, step=0))


def test_draws_restarts_steps_and_seeds_share_no_block() -> None:
    """256 blocks of each stream; two of them would be equal by chance once in 10^29."""
    draws = (*rng.Draw, *(rng.Draw.AUGMENT + 64 * i + j for i in range(3) for j in range(2)))
    streams = [
        (draw, *place) for draw in sorted(set(map(int, draws))) for place in itertools.product((0, 1, 2), repeat=2)
    ]
    near = torch.cat((SEEDS[:2], SEEDS[:2] ^ 1, SEEDS[:2] ^ (1 << 40)))
    blocks = torch.cat([rng.words(near, draw, 64, restart, step).reshape(-1, 4) for draw, restart, step in streams])
    assert len(blocks.unique(dim=0)) == len(blocks)


def test_the_uses_of_randomness_have_numbers_of_their_own() -> None:
    assert len({int(draw) for draw in rng.Draw.__members__.values()}) == len(rng.Draw.__members__)
    assert all(draw < rng.Draw.AUGMENT for draw in rng.Draw if draw is not rng.Draw.AUGMENT)


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    state = torch.get_rng_state()
    first = rng.normal(SEEDS, rng.Draw.LATENT, (10,))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert torch.equal(rng.normal(SEEDS, rng.Draw.LATENT, (10,)), first)


def test_golden_values() -> None:
    """Rows of earlier versions are re-created from these streams."""
    assert rng.words(torch.tensor([2**62 + 5]), 4, 4, 1).tolist() == [[593138260, 1634344514, 2315075135, 203442585]]


def test_the_number_of_a_stream_never_changes():
    """It is part of every value: with another number, every shard that draws from the stream has other bytes."""
    assert {draw.name: draw.value for draw in rng.Draw} == {
        "START_NOISE": 0,
        "EPS": 1,
        "STEP_SIZE": 2,
        "TARGET": 3,
        "LATENT": 4,
        "SQUARE": 5,
        "INPUT_DIVERSITY": 6,
        "START_RADIUS": 7,
        "REGION": 8,
        "CORRUPTION": 9,
        "TRAINING": 10,
        "TRY": 11,
        "AUGMENT": 65536,
    }


@pytest.mark.parametrize(("rows", "count", "restart"), [(1, 1, 0), (7, 3, 2), (300, 9, 1)])
def test_few_words_on_the_cpu_are_the_same(rows: int, count: int, restart: int) -> None:
    seeds = torch.from_numpy(np.random.default_rng(3).integers(0, 2**63, rows, np.int64))
    found = rng.words_on_cpu(seeds, rng.Draw.AUGMENT + 70, count, restart)
    assert torch.equal(found, rng.words(seeds, rng.Draw.AUGMENT + 70, count, restart))
