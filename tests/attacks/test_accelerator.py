"""What an accelerator asks of the search: no pass waits for the device or mixes devices, and bits come out again.

No accelerator is needed: torch's meta device stands for one. It holds no values, so that whatever asks for one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hardset.pipeline.attacks import engine, passes
from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.network import SearchNetwork
from hardset.pipeline.attacks.passes import Passes
from hardset.pipeline.attacks.schedules import Start
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.slots import Slots
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.recipes import Attack
from tests.attacks.nets import CPU, conv_net, images, predictions
from tests.attacks.test_engine import rows, search

META = torch.device("meta")
SEVERAL = engine._passes_between_waits(META)
EPS = {"linf": "8/255", "l2": "0.5", "l1": "12", "l0": "8"}
NAMED: list[dict[str, Any]] = [
    {"name": name, "norm": norm}
    for name, facts in ATTACKS.items()
    for norm in facts.norms
    if not facts.parts  # those of ensembles are the others
]
SETTINGS: list[dict[str, Any]] = [
    {"eot": 2},
    {"diversity": 0.5},
    {"scales": 3},
    {"translation": 5},
    {"momentum": 0.9},
    {"step_rule": "cosine"},
    {"target": "next"},
    {"stop": {"after_success": 2}},
]


class Operations(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the operations of given names."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.found = names, []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().partition(".")[0].removesuffix("_") in self.names:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero", "aten::masked_select")
"""Operations that hand a value of the device to the host."""
WAITING_IF_DETERMINISTIC = ("aten::scatter", "aten::scatter_add", "aten::put")
"""Operations that copy strides to the device where torch is to be deterministic."""


def slots_of(what: Search, *, masked: bool) -> Slots:
    """Four rows about to take their first step, on the meta device."""
    seeds = torch.zeros(4, dtype=torch.int64, device=META)
    pixels = torch.zeros(4, 3, 16, 16, dtype=torch.uint8, device=META)
    clean, radius = pixels.float() / 255, torch.ones(4, device=META)
    mask = clean.new_ones(4, 1, *((16, 16) if masked else (1, 1)))
    noisy = what.geometry.start(clean, radius, seeds, seeds, mask if masked else None)
    start = Start(noisy, clean, radius, radius.clone(), seeds, seeds.clone(), what.steps)
    return Slots.starting(
        start,
        levels=pixels.float(),
        mask=mask,
        labels=seeds.clone(),
        targets=seeds.clone(),
        budget=seeds + 3,
        elsewhere=torch.ones_like(seeds, dtype=torch.bool),
        memory=what.schedule.begin(start),
    )


def named(settings: dict[str, Any]) -> str:
    return "-".join(f"{value}" for value in settings.values()).replace(" ", "")


@pytest.mark.parametrize(
    ("settings", "masked"),
    [(one, False) for one in NAMED + SETTINGS] + [(one, True) for one in NAMED if one["norm"] == "linf"],
    ids=lambda one: named(one) if isinstance(one, dict) else ("inexact, in a region" if one else "exact"),
)
def test_a_pass_neither_waits_for_the_device_nor_mixes_devices(settings: dict[str, Any], masked: bool) -> None:
    spec = Attack(**({"name": "pgd", "eps": EPS[settings.get("norm", "linf")]} | settings)).resolved()
    for stage in stages_of(spec, 10):
        with FakeTensorMode(), torch.no_grad():
            with META:
                net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 10))
            slots = slots_of(stage.search, masked=masked)
            with Operations(*WAITING_IF_DETERMINISTIC) as waits:
                Passes(stage.search, (net,), exact=not masked, masked=masked).one(slots)
            assert slots.images.device == META
            assert waits.found == []


def test_what_waits_or_mixes_devices_would_be_found() -> None:
    with FakeTensorMode():
        there = torch.ones(4, device=META)
        with pytest.raises(RuntimeError, match="at least two devices"):
            there + torch.ones(4)
        with pytest.raises(Exception, match=r"_local_scalar_dense"):
            bool((there > 0).any())


# The loop around the passes


@pytest.fixture
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are overwritten as on an accelerator; on a CPU the question which they are costs nothing, and is asked."""

    def overwrite(held: Tensor, values: Tensor, where: Tensor) -> None:
        torch.where(per_row(where, held), values, held, out=held)

    monkeypatch.setattr(passes, "overwrite", overwrite)
    monkeypatch.setattr(engine, "_passes_between_waits", lambda device: SEVERAL)


@pytest.mark.usefixtures("as_on_an_accelerator")
@pytest.mark.parametrize("stop", ["success", "never"])
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "inexact"])
def test_the_loop_waits_once_for_several_passes(stop: str, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches, settled, collected = [], [], []
    fetched, collect, logits = engine.fetched, engine._Run.collect, engine.Verdicts._judge
    monkeypatch.setattr(engine, "fetched", lambda *columns: fetches.append(1) or fetched(*columns))
    monkeypatch.setattr(engine._Run, "collect", lambda *one: collected.append(1) or collect(*one))
    monkeypatch.setattr(engine.Verdicts, "_judge", lambda *one: settled.append(1) or logits(*one))
    net, pixels = conv_net(), images(60)
    work = rows(pixels, predictions(net, pixels), 5 / 255, 1 / 255)
    networks = () if exact else (SearchNetwork(lambda shown: net(shown).float(), exact=False, describe=str),)
    with Operations(*WAITING) as waits:
        outcome = Engine(net, 16, CPU, networks).run(search(stop=stop, steps=8, restarts=2), work)
    assert 0 < (outcome.rank > 1).sum() < 60
    assert waits.found == []
    if stop == "never":  # 120 searches in 16 slots, and no pass after the last step of any
        assert (outcome.effort.batches, len(collected)) == (8 * 8, 8)
    assert SEVERAL * len(collected) >= outcome.effort.batches > 30 or stop == "never"
    assert outcome.effort.batches >= 0.9 * SEVERAL * len(collected)
    assert len(fetches) == len(collected) + len(settled)
    assert SEVERAL >= 4
    assert len(settled) <= len(collected)


# Arithmetic


class Noted(nn.Module):
    """Notes the switches that it runs under, in forward passes and in backward ones."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen: set[tuple[Any, ...]] = set()

    def note(self, gradient: Tensor | None = None) -> None:
        backends: Any = torch.backends
        precisions = (backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision)
        self.seen.add((*precisions, backends.cudnn.deterministic, backends.cudnn.benchmark))

    def forward(self, shown: Tensor) -> Tensor:
        self.note()
        if shown.requires_grad:
            shown.register_hook(self.note)
        found: Tensor = self.net(shown)
        return found


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """TF32 and cuDNN's choice by trial, as a caller may have left them."""
    backends: Any = torch.backends
    before = backends.cudnn.conv.fp32_precision, backends.cudnn.benchmark
    backends.cudnn.conv.fp32_precision, backends.cudnn.benchmark = "tf32", True
    yield
    assert (backends.cudnn.conv.fp32_precision, backends.cudnn.benchmark) == ("tf32", True)
    backends.cudnn.conv.fp32_precision, backends.cudnn.benchmark = before


@pytest.mark.usefixtures("fast_switches")
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "inexact"])
def test_a_search_is_deterministic_and_its_verdicts_are_the_judges(exact: bool) -> None:
    net, pixels = conv_net(), images(12)
    judging, searching = Noted(net), Noted(net)
    work = rows(pixels, predictions(net, pixels), 5 / 255, 1 / 255)
    networks = () if exact else (SearchNetwork(searching, exact=False, describe=str),)
    Engine(judging, 8, CPU, networks).run(search(stop="success", steps=4), work)
    assert judging.seen == {("ieee", "ieee", True, False)}
    matmul = torch.backends.cuda.matmul.fp32_precision
    assert searching.seen == (set() if exact else {("tf32", matmul, True, False)})


class Refused(nn.Module):
    """Stands for a model that needs a kernel without a deterministic form: refuses as torch does, then goes on."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.refusals = net, 1

    def forward(self, shown: Tensor) -> Tensor:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(
                "max_pool2d_with_indices_backward_cuda does not have a deterministic implementation, but you set "
                "'torch.use_deterministic_algorithms(True)'."
            )
        found: Tensor = self.net(shown)
        return found


def test_a_model_without_deterministic_kernels_is_searched_all_the_same() -> None:
    net, pixels = conv_net(), images(12)
    work = rows(pixels, predictions(net, pixels), 5 / 255, 1 / 255)
    refused = Engine(Refused(net), 8, CPU).run(search(steps=4), work)
    plain = Engine(net, 8, CPU).run(search(steps=4), work)
    assert torch.equal(refused.images, plain.images)
    np.testing.assert_array_equal(refused.rank, plain.rank)
