"""Batches that memory does not hold. Running out is simulated: modules and functions raise torch's own errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hardset.pipeline.attacks.network import search_network
from hardset.pipeline.compute.devices import GROW_AFTER, Divider, is_out_of_memory
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.judging.masking import run_warnings
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.make import make_shard, run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from tests.support import job_of

CPU = torch.device("cpu")
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. (simulated)"


class Memory:
    """A device that holds a number of rows at once, and counts what was asked of it."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def take(self, count: int) -> None:
        self.asked.append(count)
        if count > self.rows:
            raise torch.OutOfMemoryError(FULL)


def squares(memory: Memory, count: int) -> Callable[[slice], tuple[Tensor, ...]]:
    """Work with two results per row."""
    values = torch.arange(count)

    def work(rows: slice) -> tuple[Tensor, ...]:
        memory.take(len(values[rows]))
        return values[rows] ** 2, values[rows, None].expand(-1, 2)

    return work


def expected(count: int) -> tuple[Tensor, Tensor]:
    return torch.arange(count) ** 2, torch.arange(count)[:, None].expand(-1, 2)


# The divider alone.


@given(st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=20))
def test_whatever_fits_the_results_are_those_of_the_whole_batch(batches: list[tuple[int, int]]) -> None:
    """Memory that comes and goes between batches of any size: every row once, in order."""
    divider, memory = Divider(), Memory(1)
    for rows, holds in batches:
        memory.rows = holds
        found = divider.run("work", rows, squares(memory, rows))
        assert all(map(torch.equal, found, expected(rows)))
        smallest = divider.smallest_part()
        assert smallest is None or (smallest <= holds and smallest < rows)


def test_a_batch_that_fits_is_handed_over_whole_and_comes_back_untouched() -> None:
    given_back = (torch.ones(8),)
    assert Divider().run("work", 8, lambda rows: given_back if rows == slice(0, 8) else ()) is given_back


def test_it_halves_until_it_fits_and_remembers() -> None:
    divider, memory = Divider(), Memory(30)
    divider.run("work", 100, squares(memory, 100))
    assert memory.asked == [100, 50, 25, 25, 25, 25]
    assert divider.smallest_part() == 25
    memory.asked.clear()
    divider.run("work", 100, squares(memory, 100))
    assert memory.asked == [25, 25, 25, 25]
    divider.run("other work", 100, squares(Memory(100), 100))
    assert divider.smallest_part() == 25
    assert divider.smallest_part() is None, "nothing was asked since"


def test_parts_have_one_size_and_work_goes_on_from_where_it_stopped() -> None:
    divider, memory = Divider(), Memory(100)
    done: list[slice] = []

    def work(rows: slice) -> tuple[Tensor]:
        if len(done) == 1:
            memory.rows = 12
        memory.take(rows.stop - rows.start)
        done.append(rows)
        return (torch.arange(100)[rows],)

    memory.rows = 50
    assert torch.equal(divider.run("work", 100, work)[0], torch.arange(100))
    assert done == [slice(0, 50), *(slice(50 + at, 62 + at) for at in (0, 12, 24, 36)), slice(88, 100)]


def test_it_grows_again_after_the_documented_number_of_batches() -> None:
    divider, memory = Divider(), Memory(16)

    def batches(count: int) -> list[int]:
        memory.asked.clear()
        for _ in range(count):
            divider.run("work", 64, squares(memory, 64))
        return memory.asked

    assert batches(1) == [64, 32, 16, 16, 16, 16]
    memory.rows = 64
    assert set(batches(GROW_AFTER - 1)) == {16}
    assert set(batches(GROW_AFTER)) == {32}
    assert set(batches(3 * GROW_AFTER)) == {64}


def test_growing_in_vain_gets_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardset.pipeline.compute.devices.MOST_PATIENCE", 4 * GROW_AFTER)
    divider, memory = Divider(), Memory(16)
    trials = []
    for batch in range(20 * GROW_AFTER):
        divider.run("work", 64, squares(memory, 64))
        trials += [batch] * (memory.asked.count(32))
        memory.asked.clear()
    waited = np.diff(trials)
    assert waited.tolist() == [GROW_AFTER, *(2 * GROW_AFTER,), *(4 * GROW_AFTER,) * (len(waited) - 2)]
    assert len(waited) == 6


def test_one_row_that_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(
        RunError, match=r"^the gradient: .* does not hold a single row \(CUDA out of .*\); use a smaller"
    ):
        Divider().run("the gradient", 8, squares(Memory(0), 8))


def test_other_errors_pass() -> None:
    def broken(_: slice) -> tuple[Tensor]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Divider().run("work", 8, broken)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError(FULL), True),
        (torch.cuda.OutOfMemoryError(FULL), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one


def test_this_machine_says_so_too() -> None:
    """A real failure of the CPU's allocator: 4 EiB."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


# Where models are run.


class Limited(nn.Module):
    """A model whose device holds fewer rows when a gradient is asked for."""

    def __init__(self, inner: nn.Module, memory: Memory, gradients: int) -> None:
        super().__init__()
        self.inner, self.memory, self.gradients = inner, memory, gradients

    def forward(self, images: Tensor, *more: Tensor) -> Tensor:
        self.memory.take(len(images))
        if images.requires_grad and len(images) > self.gradients:
            raise torch.OutOfMemoryError(FULL)
        made: Tensor = self.inner(images, *more)
        return made


def small(memory: Memory, gradients: int = 10**9) -> Limited:
    torch.manual_seed(0)
    return Limited(small_cnn().eval().requires_grad_(False), memory, gradients)


def test_the_judge_gives_the_same_verdicts_in_parts() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    whole, parts = (Judge(small(Memory(most)), 32, CPU).logits(rows) for most in (32, 8))
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_the_way_a_model_is_run_does_not_depend_on_memory_at_its_trial() -> None:
    """Running out says nothing of bfloat16: the search must not fall back to float32, which needs more."""
    network = search_network(small(Memory(8)), precision="bfloat16", compile=False, device=CPU)
    images = torch.rand(32, 1, 8, 8)
    divider = Divider()
    (found,) = divider.run("the search", 32, lambda rows: (network.forward(images[rows]),))
    assert (found.shape, divider.smallest_part()) == ((32, 10), 8)
    assert network.note.startswith("bfloat16")


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The shards of one job on a device that holds everything, and on one that holds 24 rows, 5 with a gradient."""
    found: dict[str, Any] = {}
    for name, rows, gradients in (("large", 10**9, 10**9), ("small", 24, 5)):
        out = tmp_path_factory.mktemp(name)
        job = job_of(weights, out, source={"format": "digits", "limit": 40}, sample=True)
        plan, folder = make_plan(job), Folder(str(out))
        worker = Worker(job, plan, CPU)
        assert worker.model is not None
        memory = Memory(rows)
        worker.__dict__["model"] = type(worker.model)(
            **{**vars(worker.model), "module": Limited(worker.model.module, memory, gradients)}
        )
        worker.recipe(3)._net = Limited(worker.recipe(3)._net, memory, gradients)  # type: ignore[attr-defined]
        ledger = Ledger(folder, plan.run_id)
        parts = [None if shard.range is None else plan.ranges[shard.range] for shard in plan.shards]
        receipts = [run_shard(shard, part, worker, ledger) for shard, part in zip(plan.shards, parts, strict=True)]
        found[name] = (plan, receipts, out, memory)
    yield found


def test_a_shard_is_made_whole_on_a_small_device_and_its_receipt_says_so(made: dict[str, Any]) -> None:
    plan, receipts, _, memory = made["small"]
    assert max(memory.asked) > 24, "memory never ran out"
    by_recipe = {shard.recipe: receipt for shard, receipt in zip(plan.shards, receipts, strict=True)}
    assert {recipe: receipt.device_batch for recipe, receipt in by_recipe.items()} == {0: 4, 1: 4, 2: 16, 3: 16}
    assert all(receipt.counts.rows_out == receipt.counts.expected for receipt in receipts)
    outputs = [receipt.output(shard) for shard, receipt in zip(plan.shards, receipts, strict=True)]
    (warning,) = [text for text in run_warnings(plan.job["recipes"], outputs) if "memory" in text]
    assert "in 5 of 5 shards" in warning and "as few as 4 rows" in warning


def test_a_large_device_says_nothing(made: dict[str, Any]) -> None:
    assert [receipt.device_batch for receipt in made["large"][1]] == [None] * 5


def test_parts_make_the_same_rows(made: dict[str, Any]) -> None:
    """The same bits are not promised, as kernels may be chosen by the batch's shape; the same rows are."""
    large, small = (ds.dataset(made[name][2] / "data").to_table() for name in ("large", "small"))
    assert large["row_id"].to_pylist() == small["row_id"].to_pylist()
    np.testing.assert_allclose(small["margin"].to_numpy(), large["margin"].to_numpy(), atol=0.5)


@pytest.mark.parametrize(("graded", "at"), [(False, "the judge"), (True, "the gradient")])
def test_a_device_too_small_for_one_row_stores_nothing(
    weights: dict[str, str], tmp_path: Path, graded: bool, at: str
) -> None:
    job = job_of(weights, tmp_path, source={"format": "digits", "limit": 10})
    plan = make_plan(job)
    worker = Worker(job, plan, CPU)
    assert worker.model is not None
    worker.model.module.register_forward_pre_hook(
        lambda *_: Memory(0).take(1) if torch.is_grad_enabled() == graded else None
    )
    with pytest.raises(RunError, match=f"{at}: the device's memory does not hold a single row"):
        make_shard(plan.shards[0], plan.ranges[0], worker)
