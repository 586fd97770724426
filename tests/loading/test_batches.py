"""The same batches for any number of workers and ranks, however often it is interrupted."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import hardset
import hardset.torch
from hardset.pipeline.loading import datasets
from hardset.pipeline.loading.mixture import Plan, TrainingRows, WholeEpochs
from hardset.pipeline.loading.parts import RowsOfKind
from tests.loading.examples import SOURCE, Counting, made_run

MIX = {"clean": 0.5, "adversarial": 0.4, "generated": 0.1}
EPOCHS = 8


@pytest.fixture(scope="module")
def out(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("load") / "out"
    with pytest.MonkeyPatch.context() as patch:
        made_run(weights, place, patch)
        yield place


def counting() -> dict[str, Plan]:
    """Plans over rows whose label is their number: far ones in tracks, near ones, and a mixture of both."""
    near = RowsOfKind(np.zeros((37, 1, 1, 1), np.uint8), np.arange(1000, 1037), np.zeros(37, np.int64))
    far = Counting(203, 3)
    return {
        "far": WholeEpochs(far, 20, seed=1, window_bytes=2**24),
        "near": WholeEpochs(near, 8, seed=1),
        "mixed": TrainingRows({"clean": near, "adversarial": far}, 8, 1, {"clean": 0.4, "adversarial": 0.6}, 2**24),
    }


class Simulated:
    """What a training with so many ranks and workers is given: each rank's DataLoader takes workers in turn."""

    def __init__(self, batches: hardset.torch.Batches, workers: int, ranks: int, patch: pytest.MonkeyPatch) -> None:
        self._batches, self._workers, self._patch = batches, workers, patch
        self._ranks = [copy.copy(batches) for _ in range(ranks)]
        for rank, one in enumerate(self._ranks):
            one._rank, one._ranks = rank, ranks

    def steps(self, state: dict[str, Any], count: int) -> tuple[list[list[int]], dict[str, Any]]:
        """The rows of up to `count` steps from a state on, of all ranks together, and the state after them."""
        iterators = [self._workers_of(rank, state) for rank in self._ranks]
        found = []
        left = self._batches.steps - state["step"]
        for step in range(min(count, left)):
            shares = [self._next(workers, step) for workers in iterators]
            rows = np.empty(sum(map(len, shares)), np.int64)
            for rank, mine in enumerate(shares):
                rows[rank :: len(shares)] = mine
            found.append(rows.tolist())
        done = state["step"] + len(found)
        epoch = state["epoch"] + (done == self._batches.steps)
        return found, state | {"epoch": epoch, "step": done % self._batches.steps}

    def _workers_of(self, rank: hardset.torch.Batches, state: dict[str, Any]) -> list[Iterator[Any]]:
        found = []
        for number in range(self._workers):
            mine = copy.copy(rank)
            mine.load_state_dict(state)
            found.append((number, iter(mine)))
        return found  # type: ignore[return-value]

    def _next(self, workers: Any, step: int) -> list[int]:
        number, iterator = workers[step % self._workers]
        info = type("Info", (), {"id": number, "num_workers": self._workers})
        self._patch.setattr(datasets, "get_worker_info", lambda: info)
        labels: list[int] = next(iterator)["label"].tolist()
        return labels


@pytest.mark.parametrize("kind", ["far", "near", "mixed"])
def test_the_order_is_one_for_all_numbers_of_workers_and_ranks_and_50_interruptions(
    kind: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 to 8 workers times 1 to 4 ranks, all of them, each interrupted 50 times and gone on with by other numbers."""
    batches = hardset.torch.Batches(out, batch=8)
    batches._plan = counting()[kind]
    reference: list[list[int]] = []
    for _ in range(EPOCHS):
        reference += [batch["label"].tolist() for batch in batches]
        batches.set_epoch(batches._epoch + 1)
    if kind != "mixed":
        epochs = np.array_split(np.concatenate(reference), EPOCHS)
        assert all(len(set(epoch.tolist())) == len(epoch) == len(batches._plan.parts["rows"]) for epoch in epochs)
        assert epochs[0].tolist() != epochs[1].tolist()
    batches.set_epoch(0)
    pairs = [(workers, ranks) for workers in range(1, 9) for ranks in range(1, 5)]
    for number, (workers, ranks) in enumerate(pairs):
        draw = np.random.default_rng(number)
        state, found, interruptions = batches.state_dict(), [], 0
        while len(found) < len(reference) and interruptions < 50:
            team = (workers, ranks) if interruptions % 2 == 0 else pairs[int(draw.integers(len(pairs)))]
            more, state = Simulated(batches, *team, monkeypatch).steps(
                json.loads(json.dumps(state)), int(draw.integers(3))
            )
            found, interruptions = found + more, interruptions + 1
        assert interruptions == 50 or len(found) == len(reference)
        assert found == reference[: len(found)], (workers, ranks)
        assert len(found) > 20


# Real processes


def ids(batch: dict[str, Any]) -> list[str]:
    found: list[str] = batch["row_id"]
    return found


def settings(**more: Any) -> dict[str, Any]:
    return {"batch": 24, "seed": 5, "columns": ("row_id",), "mix": MIX, "clean": SOURCE} | more


def reference(out: Path, epochs: int, **more: Any) -> list[list[str]]:
    """Row ids of every step, made here, without workers."""
    batches, found = hardset.torch.Batches(out, **settings(**more)), []
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        found += [ids(batch) for batch in batches]
    return found


def in_process(target: Callable[..., None], *arguments: Any) -> int:
    """Exit code of a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(timeout=100)
    return process.exitcode if process.exitcode is not None else -1


def train(out: Path, log: Path, workers: int, steps: int, more: dict[str, Any]) -> None:
    """A training that writes down what it got and its state, and is gone after some steps without a word."""
    torch.set_num_threads(1)
    loader = hardset.torch.Loader(out, workers=workers, **settings(**more))
    lines = log.read_text().splitlines() if log.exists() else []
    if lines:
        loader.load_state_dict(json.loads(lines[-1])["state"])
    while loader.epoch < 2:
        for batch in loader:
            with log.open("a") as file:
                print(json.dumps({"ids": ids(batch), "state": loader.state_dict()}), file=file)
            steps -= 1
            if steps == 0:
                os._exit(9)


def logged(log: Path) -> list[list[str]]:
    return [json.loads(line)["ids"] for line in log.read_text().splitlines()]


@pytest.mark.slow
def test_a_training_that_dies_goes_on_with_other_workers(out: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for workers, steps in ((2, 3), (3, 2)):
        assert in_process(train, out, log, workers, steps, {}) == 9
    assert in_process(train, out, log, 1, -1, {}) == 0
    assert logged(log) == reference(out, 2)


def in_team(rank: int, out: Path, place: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2)
    train(out, place / f"rank{rank}", 1, -1, {})


def test_ranks_of_a_process_group_share_every_batch(out: Path, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    team = [fork.Process(target=in_team, args=(rank, out, tmp_path)) for rank in range(2)]
    for one in team:
        one.start()
    for one in team:
        one.join(timeout=100)
    assert [one.exitcode for one in team] == [0, 0]
    first, second = (logged(tmp_path / f"rank{rank}") for rank in range(2))
    for whole, one, two in zip(reference(out, 2), first, second, strict=True):
        assert (whole[0::2], whole[1::2]) == (one, two)


def test_a_plain_data_loader_over_batches_gives_the_same(out: Path) -> None:
    more = {"mix": None, "clean": None}
    batches = hardset.torch.Batches(out, **settings(**more))
    loader = DataLoader(batches, batch_size=None, num_workers=2, multiprocessing_context="fork")
    found = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        found += [ids(batch) for batch in loader]
    assert found == reference(out, 2, **more)
    assert len({row for batch in found[: batches.steps] for row in batch}) == len(hardset.open_dataset(out))
    batches.load_state_dict({"identity": batches.identity, "epoch": 1, "step": 3})
    assert [ids(batch) for batch in loader] == found[batches.steps + 3 :]


# State


def test_an_iteration_that_is_broken_off_is_gone_on_with(out: Path) -> None:
    loader = hardset.torch.Loader(out, **settings())
    whole, found = reference(out, 3), []
    for _ in range(4):
        for batch in loader:
            found.append(ids(batch))
            if len(found) % 3 == 0:
                break
    assert found == whole[: len(found)]
    loader.set_epoch(1)
    assert [ids(batch) for batch in loader] == whole[len(loader) : 2 * len(loader)]
    assert loader.state_dict() | {"identity": ""} == {"identity": "", "epoch": 2, "step": 0}


def test_the_state_after_the_last_step_is_the_next_epochs_beginning(out: Path) -> None:
    loader = hardset.torch.Loader(out, **settings())
    states = [loader.state_dict() for _ in loader]
    other = hardset.torch.Loader(out, **settings())
    other.load_state_dict(states[-1])
    assert [ids(batch) for batch in other] == reference(out, 2)[len(loader) :]


@pytest.mark.parametrize("change", [{"batch": 20}, {"seed": 6}, {"mix": {"clean": 0.4, "adversarial": 0.6}}])
def test_a_state_of_other_batches_is_refused(out: Path, change: dict[str, Any]) -> None:
    state = hardset.torch.Loader(out, **settings()).state_dict()
    with pytest.raises(hardset.JobError, match="the state is of a loader over other rows or with other settings"):
        hardset.torch.Loader(out, **settings(**change)).load_state_dict(state)


def test_what_a_transform_draws_belongs_to_the_batch(out: Path) -> None:
    def noise(images: torch.Tensor) -> torch.Tensor:
        return images + torch.rand(images.shape)

    found = []
    for workers in (0, 2):
        loader = hardset.torch.Loader(out, workers=workers, **settings(transform=noise))
        found.append([batch["image"] for batch in loader])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
    assert not torch.equal(found[0][0] % 1, found[0][1] % 1)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_workers_own_state_goes_on_in_it(workers: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchdata keeps it: each worker's copy of the dataset has a state, and gets it back in the same worker."""
    whole = hardset.torch.Batches(out, **settings(mix=None, clean=None))
    wanted = [ids(batch) for batch in whole]
    for number in range(workers):
        info = type("Info", (), {"id": number, "num_workers": workers})
        monkeypatch.setattr(datasets, "get_worker_info", lambda info=info: info)
        mine = copy.copy(whole)
        iterator = iter(mine)
        found = [ids(next(iterator)), ids(next(iterator))]
        later = copy.copy(whole)
        later.load_state_dict(mine.state_dict())
        assert found + [ids(batch) for batch in later] == wanted[number::workers]
