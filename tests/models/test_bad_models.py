"""Each unusable model ends with one sentence that names the key and the mend."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.models.loading import LoadedModel, load_model, weights_digest
from pipeline.models.preflight import check_model
from pipeline.models.zoo import cifar_resnet20, small_cnn
from schemas.digests import sha256_hex
from schemas.errors import JobError
from schemas.job import Model

CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)


def spec(**settings: Any) -> Model:
    return Model(**({"factory": "pipeline.models.zoo:small_cnn", "classes": 10} | settings))


def saved(tmp_path: Path, state: dict[str, Tensor]) -> str:
    path = str(tmp_path / "w.safetensors")
    safetensors.torch.save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factory": "no.such.module:net"}, ["model.factory", "no.such.module", "installed"]),
        ({"factory": "pipeline.models.zoo:no_such_net"}, ["model.factory", "no_such_net"]),
        ({"factory": "pipeline.models.zoo:small_cnn", "arguments": {"depth": 3}}, ["model.arguments", "depth"]),
        ({"factory": "builtins:dict"}, ["model.factory", "dict", "torch module"]),
        ({"weights": "nowhere.safetensors"}, ["model.weights", "nowhere.safetensors", "no such file"]),
        ({"weights": __file__}, ["model.weights", "refused"]),
        ({"normalize": {"mean": [0.5] * 3, "std": [0.5] * 3}}, ["model.normalize", "3 values", "1 channels"]),
    ],
)
def test_what_cannot_be_loaded_is_named(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(JobError) as caught:
        load_model(spec(**settings), channels=1, device=CPU)
    for word in words:
        assert word in str(caught.value)


def test_nan_weights_name_their_tensor(tmp_path: Path) -> None:
    state = small_cnn().state_dict()
    state["2.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(JobError, match=r"2\.weight holds NaN"):
        load_model(spec(weights=saved(tmp_path, state)), channels=1, device=CPU)


def test_weights_of_another_net_or_class_count_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="does not fit"):
        load_model(spec(weights=saved(tmp_path, cifar_resnet20().state_dict())), channels=1, device=CPU)
    with pytest.raises(JobError, match=r"7\.(weight|bias) has shape"):
        load_model(spec(weights=saved(tmp_path, small_cnn(classes=7).state_dict())), channels=1, device=CPU)


class _Bomb:
    def __reduce__(self) -> Any:
        return (sys.exit, (99,))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".pt2"])
def test_a_pickle_is_refused_before_it_runs(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps({"0.weight": _Bomb()}))
    with pytest.raises(JobError, match="refused"):
        load_model(spec(weights=str(path)), channels=1, device=CPU)


def test_a_plain_state_dict_and_a_prefixed_one_load_alike(tmp_path: Path) -> None:
    state = small_cnn().state_dict()
    torch.save(state, tmp_path / "w.pt")
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "p.pth")
    images = torch.rand(3, 1, 8, 8)
    answers = [
        load_model(spec(weights=str(tmp_path / name)), channels=1, device=CPU).module(images)
        for name in ("w.pt", "p.pth")
    ]
    assert torch.equal(answers[0], answers[1])


def test_the_digest_is_of_the_file_and_a_factory_alone_has_one_too(tmp_path: Path) -> None:
    path = saved(tmp_path, small_cnn().state_dict())
    assert weights_digest(spec(weights=path)) == sha256_hex(Path(path).read_bytes())
    assert weights_digest(spec()) == weights_digest(spec()) == load_model(spec(), channels=1, device=CPU).sha256


class _Probabilities(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x.flatten(1)[:, :10], 1)


class _Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10] + torch.rand(len(x), 10)


class _Neighbours(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)).flatten(1)[:, :10]


class _Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10] / 0


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (_Probabilities(), "probabilities"),
        (_Noisy(), "differently each time"),
        (_Neighbours(), "beside other rows"),
        (_Endless(), "NaN or infinite"),
        (small_cnn(classes=7), r"model\.classes: got 10, but m gives 7 logits"),
        (small_cnn(channels=3), r"does not take rows of 8 x 8 with 1 channels"),
        (nn.Flatten(0), "one row each"),
    ],
)
def test_preflight_names_what_is_wrong(module: nn.Module, words: str) -> None:
    with pytest.raises(JobError, match=words):
        check_model(LoadedModel(module.eval(), "m", "", 10), ROWS, device=CPU)


def test_preflight_lets_a_sound_model_pass() -> None:
    check_model(load_model(spec(), channels=1, device=CPU), ROWS, device=CPU)
