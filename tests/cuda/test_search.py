"""The attack on a device: the same bytes again, whatever else is in the batch, and verdicts that float64 confirms."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.attacks.passes import Passes
from hardset.pipeline.attacks.verdicts import Verdicts
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.compute import rng
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.judging.judge import Judge, verdict
from tests.cuda.subjects import attack, same, seeds

MODES: list[Any] = [
    pytest.param({}, id="float32"),
    pytest.param({"stop": "success"}, id="success"),
    pytest.param({"precision": "bfloat16", "stop": "success"}, id="bfloat16"),
    pytest.param({"norm": "l2", "eps": "0.6"}, id="l2"),
    pytest.param({"norm": "l1", "eps": "8"}, id="l1"),
    pytest.param({"name": "apgd_ce", "restarts": 2}, id="apgd"),
    pytest.param({"name": "square", "steps": 40}, id="square"),
]


@pytest.mark.parametrize("settings", MODES)
def test_the_same_search_twice_gives_the_same_bytes(
    settings: dict[str, Any], device: torch.device, classifier: nn.Module, some_rows: CleanRows
) -> None:
    one, other = (attack(classifier, device, **settings).make(some_rows, seeds(some_rows)) for _ in range(2))
    assert same(one, other)
    assert (one.pixels != some_rows.pixels).any()


def test_graphs_give_the_same_bytes_twice(cuda: torch.device, classifier: nn.Module, rows: CleanRows) -> None:
    recipe = attack(classifier, cuda, precision="bfloat16", compile=True)
    one, other = (recipe.make(rows, seeds(rows)) for _ in range(2))
    assert same(one, other)
    assert recipe._engine.networks[0].note.endswith("compiled")


@pytest.mark.parametrize("settings", MODES)
def test_a_row_does_not_depend_on_its_neighbours(
    settings: dict[str, Any], device: torch.device, classifier: nn.Module, some_rows: CleanRows
) -> None:
    keys, middle = seeds(some_rows), np.arange(len(some_rows) // 3, len(some_rows) // 3 + 20)
    recipe = attack(classifier, device, batch=32, **settings)
    together, alone = recipe.make(some_rows, keys), recipe.make(some_rows.take(middle), keys[middle])
    np.testing.assert_array_equal(together.pixels[middle], alone.pixels)
    np.testing.assert_array_equal(np.asarray(together.columns["steps"])[middle], alone.columns["steps"])


def test_verdicts_differ_from_float64_only_at_the_border(
    device: torch.device, classifier: nn.Module, rows: CleanRows, record_property: Callable[[str, object], None]
) -> None:
    """500 clean and 500 attacked rows. Differences are counted; each must lie within float32's error of the border."""
    made = attack(classifier, device).make(rows, seeds(rows))
    pixels, labels = np.concatenate((rows.pixels, made.pixels)), np.concatenate((rows.labels, rows.labels))
    found, on_cpu = (
        verdict(Judge(copy.deepcopy(classifier).to(at), 64, at).logits(pixels), labels)
        for at in (device, torch.device("cpu"))
    )
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255
    exact = copy.deepcopy(classifier).double()(images).numpy()
    top = np.sort(exact, axis=1)
    gap, scale = top[:, -1] - top[:, -2], np.abs(exact).max(axis=1)
    for name, pred in (("cpu", on_cpu.pred), ("float64", exact.argmax(axis=1))):
        differing = found.pred != pred
        record_property(f"differing_from_{name}", int(differing.sum()))
        record_property(f"largest_gap_of_those_{name}", float(gap[differing].max(initial=0)))
        assert (gap[differing] <= 1e-4 * scale[differing]).all()
    record_property("rows", len(pixels))
    assert 0.2 < (found.pred[len(rows) :] != rows.labels).mean() < 1


def test_what_is_called_fallen_is_fallen_for_the_judge(
    device: torch.device, classifier: nn.Module, rows: CleanRows
) -> None:
    """Also where the process lets float32 round to TF32: a row stops early only where the judge agrees."""
    backends: Any = torch.backends
    before = backends.cudnn.conv.fp32_precision
    try:
        backends.cudnn.conv.fp32_precision = "tf32"
        made = attack(classifier, device, stop="success").make(rows, seeds(rows))
    finally:
        backends.cudnn.conv.fp32_precision = before
    judged = verdict(Judge(copy.deepcopy(classifier).to(device), 64, device).logits(made.pixels), rows.labels)
    steps = np.asarray(made.columns["steps"])
    stopped = (steps > 0) & (steps < 10)
    assert 50 < stopped.sum() < 500
    assert (judged.pred[stopped] != rows.labels[stopped]).all()


def test_images_of_levels_are_the_cpus_bit_for_bit(device: torch.device) -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(2, 8, 16)
    found = unit_images(levels.to(device))
    assert found.device.type == device.type
    assert torch.equal(found.cpu(), torch.from_numpy(np.arange(256, dtype=np.float32).reshape(2, 8, 16) / 255))
    floats = levels.to(device, torch.float32)
    assert torch.equal(unit_images(floats), found)
    assert torch.equal(floats.cpu(), levels.float())


def test_random_words_are_the_cpus(device: torch.device) -> None:
    keys = torch.from_numpy(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 257))
    there, order = keys.to(device), torch.arange(257)
    for here, found in (
        (rng.words(keys, 3, 11, order, 2), rng.words(there, 3, 11, order.to(device), 2)),
        (rng.uniform(keys, 3, (2, 3)), rng.uniform(there, 3, (2, 3))),
        (rng.integers(keys, 3, 1000, (5,)), rng.integers(there, 3, 1000, (5,))),
    ):
        assert torch.equal(found.cpu(), here)
    torch.testing.assert_close(rng.normal(there, 3, (50,)).cpu(), rng.normal(keys, 3, (50,)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stop", ["success", "never"])
def test_the_loop_waits_for_the_device_once_in_several_passes(
    stop: str,
    cuda: torch.device,
    classifier: nn.Module,
    rows: CleanRows,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = attack(classifier, cuda, stop=stop, steps=40)
    recipe.make(rows, seeds(rows))
    counted: list[str] = []
    for owner, name in ((Passes, "one"), (Verdicts, "_judge")):
        known = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, f=known, n=name: counted.append(n) or f(*given))
    waits: list[warnings.WarningMessage] = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            recipe.make(rows, seeds(rows))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{Path(one.filename).name}:{one.lineno}" for one in waits if "synchroniz" in str(one.message))
    passes, verdicts, found = counted.count("one"), counted.count("_judge"), sum(places.values())
    record_property("passes", passes)
    record_property("verdicts", verdicts)
    record_property("waits", found)
    record_property("waits_by_place", ", ".join(f"{place} {count}" for place, count in places.most_common(12)))
    # One in four passes, one for each batch of verdicts, and what a recipe asks before and after its search.
    assert found <= passes / 4 + verdicts + 40
