"""Order of a pass: every row once, another in every epoch, near rows together, and nobody reads what others read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardset.pipeline.loading.mixture import TrainingRows, WholeEpochs, share
from hardset.pipeline.loading.order import LANES, STRIDES, Groups, pass_order
from tests.loading.examples import Counting

MIB = 2**20


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.integers(1, 40), min_size=1, max_size=400),
    slice_rows=st.integers(1, 70),
    lead=st.integers(0, 69),
    window=st.integers(0, 500),
    seed=st.integers(0, 2**32),
)
def test_every_row_comes_once(rows: list[int], slice_rows: int, lead: int, window: int, seed: int) -> None:
    groups = Groups(np.array(rows, np.int64), np.full(len(rows), 10, np.int64))
    found = pass_order(groups, generator(seed), slice_rows=slice_rows, lead=lead % slice_rows, window_bytes=window)
    assert (np.sort(found) == np.arange(sum(rows))).all()


def test_what_fits_the_window_is_permuted_as_a_whole() -> None:
    groups = Groups(np.full(20, 10, np.int64), np.full(20, MIB, np.int64))
    whole = pass_order(groups, generator(), slice_rows=8, lead=0, window_bytes=20 * MIB)
    assert (whole == generator().permutation(200)).all()


def test_a_batch_of_more_than_the_window_touches_few_groups_and_a_window_of_them_at_a_time() -> None:
    """A thousand groups of a megabyte, of which 128 may be open: 16 in a batch of the eight lanes, not hundreds."""
    part = Counting(50_000, 50)
    plan = WholeEpochs(part, 128, seed=3, window_bytes=128 * MIB)
    touched = [set((pick.rows // 50).tolist()) for step in range(300) for pick in plan.picks(step)]
    assert max(map(len, touched)) <= 2 * 2 * LANES
    for at in range(0, 240, STRIDES):
        assert len(set().union(*touched[at : at + STRIDES])) <= 2 * 128
    assert len(set().union(*touched)) > 500


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_workers_and_ranks_read_row_groups_of_their_own(workers: int, ranks: int) -> None:
    part = Counting(64_000, 50)
    plan = WholeEpochs(part, 64, seed=1, window_bytes=64 * MIB)
    readers: dict[int, set[tuple[int, int]]] = {}
    for step in range(plan.steps):
        for rank in range(ranks):
            for pick in share(plan, step, rank, ranks):
                for group in set((pick.rows // 50).tolist()):
                    readers.setdefault(group, set()).add((step % workers, rank))
    alone = [group for group, who in readers.items() if len(who) == 1]
    assert len(alone) > 0.9 * len(readers), "the rest are the ends of tracks"


def test_the_streams_of_a_mix_stay_aligned_over_their_turns() -> None:
    """Where a turn ends in the middle of a batch, the next one's batches still are those of single strides."""
    part = Counting(3_001, 5)
    plan = TrainingRows({"clean": part}, 64, seed=1, window_bytes=64 * MIB)
    stream = np.concatenate([pick.rows for step in range(300) for pick in plan.picks(step)])
    turns = stream[: len(stream) // 3001 * 3001].reshape(-1, 3001)
    assert len(turns) == 6
    assert (np.sort(turns, axis=1) == np.arange(3001)).all()
    assert all((turns[0] != turn).any() for turn in turns[1:])
    late = [len(set((pick.rows // 5).tolist())) for step in range(100, 140) for pick in plan.picks(step)]
    early = [len(set((pick.rows // 5).tolist())) for step in range(40) for pick in plan.picks(step)]
    assert np.mean(late) < 1.3 * np.mean(early)


def test_rows_are_mixed_well_enough() -> None:
    """Rows of sorted classes, as image folders have them: what neighbours of a batch have in common is chance."""
    part = Counting(20_000, 20)
    plan = WholeEpochs(part, 100, seed=5, window_bytes=200 * MIB)
    classes = [np.bincount(plan.picks(step)[0].rows // 2000, minlength=10) for step in range(200)]
    assert np.mean([len(np.flatnonzero(one)) for one in classes]) > 8
