"""Ensembles: the mean of their members, known by all of them, and each member's faults under its own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hardset.pipeline.models.ensemble import Ensemble
from hardset.pipeline.models.loading import LoadedModel, load_model, model_digests
from hardset.pipeline.models.preflight import check_model
from hardset.pipeline.models.zoo import cnn_a
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model

CPU = torch.device("cpu")
IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
CNN_A = {"factory": "hardset.pipeline.models.zoo:cnn_a", "arguments": {"channels": 1, "side": 8}}
SMALL = {"factory": "hardset.pipeline.models.zoo:small_cnn"}


def member(path: Path, seed: int, **settings: Any) -> dict[str, Any]:
    """A cnn_a with weights of its own in a file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        safetensors.torch.save_file(cnn_a(channels=1, side=8).state_dict(), path)
    return {**CNN_A, "weights": str(path), **settings}


def load(*networks: dict[str, Any], **settings: Any) -> LoadedModel:
    first, *others = networks
    return load_model(Model(**first, classes=10, members=tuple(others), **settings), channels=1, device=CPU)


def digests(*networks: dict[str, Any], **settings: Any) -> dict[str, str]:
    first, *others = networks
    return model_digests(Model(**first, classes=10, members=tuple(others), **settings))


@pytest.fixture
def two(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two networks, one of them behind a normalisation."""
    halves = {"mean": [0.5], "std": [0.25]}
    return member(tmp_path / "a.safetensors", 1), member(tmp_path / "b.safetensors", 2, normalize=halves)


def test_the_logits_are_the_mean_of_the_members_each_behind_its_own_normalisation(two: Any) -> None:
    plain = []
    for network in two:
        module = cnn_a(channels=1, side=8).eval()
        module.load_state_dict(safetensors.torch.load_file(network["weights"]))
        plain.append(module((IMAGES - 0.5) / 0.25 if "normalize" in network else IMAGES))
    third = load(SMALL).module(IMAGES)
    torch.testing.assert_close(load(*two, SMALL).module(IMAGES), (plain[0] + plain[1] + third) / 3)


def test_every_member_is_frozen_in_eval_mode(two: Any) -> None:
    module = load(*two, SMALL).module
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_an_attack_averages_over_the_members_where_losses_are_combined(two: Any) -> None:
    mean, losses, alone = load(*two), load(*two, combine="loss"), load(two[0])
    assert mean.parts == alone.parts == alone.members == ()
    assert len(losses.parts) == 2
    for part, network in zip(losses.parts, two, strict=True):
        torch.testing.assert_close(part(IMAGES), load(network).module(IMAGES))
    torch.testing.assert_close(losses.module(IMAGES), mean.module(IMAGES))


def test_the_mean_is_taken_in_float32_at_least() -> None:
    """In bfloat16 256 + 1 is 256: the mean of four would lose what tells classes apart."""

    class Constant(nn.Module):
        def __init__(self, value: float, dtype: torch.dtype) -> None:
            super().__init__()
            self.value = torch.tensor([[value]], dtype=dtype)

        def forward(self, images: Tensor) -> Tensor:
            return self.value

    values = (256.0, 1.0, 1.0, 1.0)
    assert Ensemble(Constant(v, torch.bfloat16) for v in values)(IMAGES).item() == 259 / 4
    assert Ensemble(Constant(v, torch.float64) for v in values)(IMAGES).dtype == torch.float64


def test_the_digest_is_of_all_members_in_their_order(two: Any, tmp_path: Path) -> None:
    first, second = two
    other = member(tmp_path / "c.safetensors", 3)
    found = [
        digests(*networks, combine=combine)["victim"]
        for networks in ((first, second), (second, first), (first, other), (first, second, other), (first, SMALL))
        for combine in ("logits", "loss")
    ]
    assert len(set(found)) == len(found)
    assert digests(first).keys() == {"victim"} and digests(first)["victim"] not in found
    member(Path(second["weights"]), 4)
    assert digests(first, second)["victim"] not in found


def test_plan_and_worker_give_an_ensemble_the_same_digest(two: Any) -> None:
    planned, loaded = digests(*two, SMALL), load(*two, SMALL)
    assert planned["victim"] == loaded.sha256
    assert [planned[f"victim:{i}"] for i in range(3)] == [part.sha256 for part in loaded.members]
    cnn, small = "hardset.pipeline.models.zoo:cnn_a", "hardset.pipeline.models.zoo:small_cnn"
    assert loaded.model_id == f"mean_logits({cnn}, {cnn}, {small})@{loaded.sha256[:12]}"
    assert load(*two, combine="loss").model_id.startswith(f"mean_loss({cnn}, {cnn})@")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"factory": "hardset.pipeline.models.zoo:cnnn"},
            r"model\.members\.0\.factory: hardset.pipeline.models.zoo has no cnnn",
        ),
        ({"arguments": {"depth": 3}}, r"model\.members\.0\.factory: .* does not take model\.members\.0\.arguments"),
        ({"weights": "no.safetensors"}, r"model\.members\.0\.weights: no.safetensors: no such file"),
        ({"weights": "w.pkl"}, r"model\.members\.0\.weights: w.pkl: is a pickle"),
        (
            {**SMALL, "arguments": {}},
            r"model\.members\.0\.weights: .* does not fit model\.members\.0\.factory: missing",
        ),
        ({"normalize": {"mean": [0.5] * 3, "std": [1] * 3}}, r"model\.members\.0\.normalize: .* 3 values"),
    ],
)
def test_a_members_fault_is_told_under_its_key(two: Any, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobError, match=f"^{sentence}"):
        load(two[0], {**two[1], **changes})


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("probabilities", r"model\.members\.0\.factory: the model returns probabilities"),
        ("centred_on_the_batch", r"model\.members\.0\.factory: a row's logits change with its neighbours"),
        ("noisy", r"model\.members\.0\.factory: the model answers differently"),
        ("infinite", r"model\.members\.0\.weights: the model returns NaN"),
        (
            "twelve_classes",
            r"model\.members\.0\.factory: the model returns 12 logits; wants 10, as model\.classes says",
        ),
    ],
)
def test_every_member_is_tried_before_the_work_starts(factory: str, sentence: str) -> None:
    unfit = {"factory": f"tests.models.factories:{factory}"}
    with pytest.raises(JobError, match=f"^{sentence}"):
        check_model(load(SMALL, unfit), PIXELS, CPU)
    check_model(load(SMALL, CNN_A), PIXELS, CPU)
