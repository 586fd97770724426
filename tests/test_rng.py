"""The row-keyed generator: known answers, distributions, and independence of everything but the row."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from pipeline import rng

SEEDS = torch.arange(1, 65, dtype=torch.int64) * 7_777_777_777


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


def test_values_are_distributed_as_they_say() -> None:
    uniform = rng.uniform(SEEDS, rng.Draw.START_NOISE, (500,)).flatten().double()
    normal = rng.normal(SEEDS, rng.Draw.LATENT, (500,)).flatten().double()
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 0.001
    assert stats.kstest(normal.numpy(), "norm").pvalue > 0.001
    counts = torch.bincount(rng.integers(SEEDS, rng.Draw.TARGET, 10, (500,)).flatten(), minlength=10)
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    whole = rng.normal(SEEDS, rng.Draw.LATENT, (3, 5))
    order = torch.randperm(len(SEEDS), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rng.normal(SEEDS[order], rng.Draw.LATENT, (3, 5)), whole[order])
    assert torch.equal(rng.normal(SEEDS[3:4], rng.Draw.LATENT, (3, 5)), whole[3:4])


def test_draws_restarts_and_seeds_have_streams_of_their_own() -> None:
    streams = [
        rng.words(SEEDS[:1], draw, 64, restart)[0] for draw in (*rng.Draw, rng.Draw.AUGMENT + 1) for restart in (0, 1)
    ] + [rng.words(SEEDS[i : i + 1], 0, 64)[0] for i in range(1, 20)]
    words = torch.cat(streams)
    assert len(words.unique()) == len(words)


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    rng.normal(SEEDS, 0, (10,))
    assert torch.equal(torch.get_rng_state(), state)


def test_per_row_restarts() -> None:
    restarts = torch.arange(len(SEEDS)) % 3
    mixed = rng.uniform(SEEDS, 0, (4,), restarts)
    for restart in range(3):
        rows = restarts == restart
        assert torch.equal(mixed[rows], rng.uniform(SEEDS[rows], 0, (4,), restart))
