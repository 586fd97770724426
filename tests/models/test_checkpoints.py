"""Checkpoints as training frameworks save them: what loads, what is refused, and which of several weights is taken."""

from __future__ import annotations

import argparse
import bz2
import datetime
import gzip
import lzma
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardset.pipeline.models.loading import load_model
from hardset.pipeline.models.preflight import check_model
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model

CPU = torch.device("cpu")
IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
State = dict[str, Tensor]


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return small_cnn().eval().requires_grad_(False)


GOOD, RAW = network(1), network(2)
good, raw = GOOD.state_dict(), RAW.state_dict()


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def load(path: Path | str, factory: str = "hardset.pipeline.models.zoo:small_cnn", **settings: Any) -> nn.Module:
    spec = Model(factory=factory, weights=str(path), classes=10, **settings)
    return load_model(spec, channels=1, device=CPU).module


def is_good(module: nn.Module) -> bool:
    return torch.allclose(module(IMAGES), GOOD(IMAGES), atol=1e-5)


WHOLE: dict[str, Callable[[], object]] = {
    "model.pth.tar": lambda: good,
    "pytorch_model.bin": lambda: good,
    "none": lambda: {"network": good},
    "ckpt.t7": lambda: {"net": good, "acc": 91.5, "epoch": 3},
    "epoch=3.ckpt": lambda: {
        "state_dict": {**prefixed(good, "model."), "criterion.weight": torch.ones(10)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "hyper_parameters": {"lr": 0.1},
    },
    "swa.pth": lambda: {**prefixed(good, "module."), "n_averaged": torch.tensor(7)},
    "swa_compiled.pth": lambda: {**prefixed(good, "module._orig_mod."), "n_averaged": torch.tensor(7)},
    "thop.pth": lambda: {**good, "total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)},
    "mu_sigma.pth": lambda: {**good, "mu": torch.zeros(1), "sigma": torch.ones(1)},
    "deep.pth": lambda: {"models": {"classifier": {"weights": prefixed(good, "net.")}}},
    "beside.pth": lambda: {**good, "epoch": 3, "best": "yes"},
    "numpy.pth": lambda: {
        "state_dict": good,
        "best_acc1": np.float64(97.5),
        "history": np.arange(4.0),
        "n": np.int64(3),
    },
    "namespace.pth": lambda: {"state_dict": good, "args": argparse.Namespace(lr=0.1, out=Path("runs"))},
    "list.pth": lambda: [good, {"epoch": 3}],
    "arrays.pth": lambda: {"state_dict": {name: value.numpy() for name, value in good.items()}},
    "deeper.pth": lambda: {"a": {"b": {"c": {"state_dict": good}}}},
    "dated.pth": lambda: {"state_dict": good, "date": datetime.datetime(2026, 1, 1), "counts": Counter("aab")},
    "factories.pth": lambda: {"state_dict": good, "history": defaultdict(int, a=1), "part": slice(3)},
    "compiled_layers.pth": lambda: {name.replace(".", "._orig_mod.", 1): value for name, value in good.items()},
    "fsdp.pth": lambda: prefixed(
        {name.replace(".", "._fsdp_wrapped_module.", 1): value for name, value in good.items()}, "_fsdp_wrapped_module."
    ),
    "loss_weights.ckpt": lambda: {"state_dict": {**prefixed(good, "net."), "class_weights": torch.ones(10)}},
    "other_part.ckpt": lambda: {
        "state_dict": {**prefixed(good, "net."), "queue": torch.ones(10), "a.b": torch.ones(1)}
    },
    "optimiser.pth": lambda: {"model": good, "optimizer_state": {"exp_avg": raw}},
    "same_twice.pth": lambda: {"state_dict": good, "model": {name: value.clone() for name, value in good.items()}},
}


@pytest.mark.parametrize("name", WHOLE)
def test_one_set_of_weights_is_found_wherever_it_lies(tmp_path: Path, name: str) -> None:
    torch.save(WHOLE[name](), tmp_path / name)
    assert is_good(load(tmp_path / name))


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ({**prefixed(good, "model."), "criterion.weight": torch.ones(10)}, "criterion.weight"),
        ({**prefixed(good, "module."), "n_averaged": torch.tensor(7)}, "n_averaged"),
        ({**prefixed(good, "net."), **{f"head.{i}": torch.ones(1) for i in range(5)}}, r"head\.0, .* and 2 more"),
        ({**prefixed(good, "1."), "0.mean": torch.zeros(1), "0.std": torch.ones(1)}, None),
        (good, None),
    ],
)
def test_what_is_left_out_is_told(tmp_path: Path, state: State, left: str | None) -> None:
    torch.save(state, tmp_path / "w.pth")
    spec = Model(factory="hardset.pipeline.models.zoo:small_cnn", weights=str(tmp_path / "w.pth"), classes=10)
    loaded = load_model(spec, channels=1, device=CPU)
    told = check_model(loaded, np.zeros((2, 8, 8, 1), np.uint8), CPU)
    assert told == loaded.told
    assert [bool(re.search(f"w.pth: {left} left out, which the network lacks", text)) for text in told] == [
        True
    ] * bool(left)


def coat() -> nn.Module:
    class Coat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_cnn()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.net(images)
            return logits

    return Coat()


def in_parallel() -> nn.Module:
    return nn.DataParallel(small_cnn())


@pytest.mark.parametrize("factory", ["coat", "in_parallel"])
@pytest.mark.parametrize("prefix", ["", "module.", "net."])
def test_prefixes_of_the_module_are_passed_over_as_those_of_the_file(tmp_path: Path, factory: str, prefix: str) -> None:
    torch.save(prefixed(good, prefix), tmp_path / "w.pth")
    assert is_good(load(tmp_path / "w.pth", f"tests.models.test_checkpoints:{factory}"))


AVERAGED: dict[str, tuple[Callable[[], object], str]] = {
    "timm": (lambda: {"state_dict": raw, "state_dict_ema": good, "epoch": 3}, "state_dict_ema"),
    "model and ema": (lambda: {"model": raw, "model_ema": good}, "model_ema"),
    "basicsr": (lambda: {"params": raw, "params_ema": good}, "params_ema"),
    "lightning": (lambda: {"state_dict": {**prefixed(raw, "model."), **prefixed(good, "ema.")}}, "state_dict.ema"),
    "nested": (lambda: {"model": raw, "ema": {"shadow": prefixed(good, "module.")}}, "ema.shadow"),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_averaged_weights_beside_raw_ones_are_a_choice_of_the_users(tmp_path: Path, name: str) -> None:
    write, key = AVERAGED[name]
    torch.save(write(), tmp_path / "w.pth")
    with pytest.raises(JobError, match=rf"holds several sets of weights .*{key}.*; set model\.weights_key"):
        load(tmp_path / "w.pth")
    assert is_good(load(tmp_path / "w.pth", weights_key=key))
    with pytest.raises(JobError, match=r"model\.weights_key: .* has no state dict at 'nothing'; it has "):
        load(tmp_path / "w.pth", weights_key="nothing")


PARAMETERS = [name for name, _ in GOOD.named_parameters()]
AVERAGES_ALONE: dict[str, tuple[Callable[[], object], str, str]] = {
    "without buffers": (lambda: {"model": raw, "ema": {n: good[n] for n in PARAMETERS}}, "ema", "model"),
    "a list": (
        lambda: {"model": raw, "ema": {"decay": 0.9, "shadow_params": [good[n] for n in PARAMETERS]}},
        r"ema\.shadow_params",
        "model",
    ),
    "names without dots": (
        lambda: {
            **prefixed(raw, "model."),
            **{f"model_ema.{n.replace('.', '')}": good[n] for n in PARAMETERS},
            "model_ema.decay": torch.tensor(0.9),
        },
        "model_ema",
        "model",
    ),
}


@pytest.mark.parametrize("name", AVERAGES_ALONE)
def test_averages_without_names_or_buffers_are_seen(tmp_path: Path, name: str) -> None:
    write, averages, key = AVERAGES_ALONE[name]
    torch.save(write(), tmp_path / "w.pth")
    with pytest.raises(JobError, match=rf"holds several sets of weights for this network: {key}, {averages}; set"):
        load(tmp_path / "w.pth")
    assert torch.allclose(load(tmp_path / "w.pth", weights_key=key)(IMAGES), RAW(IMAGES), atol=1e-5)
    with pytest.raises(JobError, match="holds averages of the network's parameters without their names or without"):
        load(tmp_path / "w.pth", weights_key=averages.replace("\\", ""))


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
def test_numbers_without_their_scale_are_no_weights(tmp_path: Path, kind: torch.dtype) -> None:
    whole = {
        n: (v * 64).round().clamp(0 if kind is torch.uint8 else -100, 100).to(kind) if v.is_floating_point() else v
        for n, v in good.items()
    }
    torch.save(whole, tmp_path / "w.pth")
    with pytest.raises(
        JobError, match=r"0\.weight is (u?int\d+|float8_e4m3fn) in the file and floating point in the model: quantised"
    ):
        load(tmp_path / "w.pth")


class Settings:
    """A type of a training script's own."""


def test_a_type_that_takes_code_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": good, "config": Settings()}, tmp_path / "w.pth")
    with pytest.raises(JobError, match=r"an object of type tests\.models\.test_checkpoints\.Settings.*save_file"):
        load(tmp_path / "w.pth")
    torch.save(GOOD, tmp_path / "whole.pth")
    with pytest.raises(JobError, match=r"an object of type torch\.nn\.modules\.container\.Sequential"):
        load(tmp_path / "whole.pth")


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".onnx", ".npz"])
def test_files_of_other_kinds_say_what_they_are(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"w{suffix}").write_bytes(b"x" * 100)
    with pytest.raises(JobError, match=r"is an? .*; wants \.safetensors, or a checkpoint of torch") as refused:
        load(tmp_path / f"w{suffix}")
    assert str(refused.value).endswith("set format: keras in place of the factory") == (suffix in (".h5", ".keras"))


def test_a_folder_in_place_of_a_file_tells_of_the_format_that_takes_one(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"is a folder; name the weight file in it; or .* set format: huggingface in"):
        load(tmp_path)


PAIRS = ["mean std", "means sds", "pixel_mean pixel_std", "_mean _std", "mu sigma", "image_mean image_std"]
AROUND: dict[str, Callable[[State, State], State]] = {
    "beside": lambda pair, state: {**pair, **state},
    "beside a part": lambda pair, state: {**pair, **prefixed(state, "backbone.")},
    "first of a sequence": lambda pair, state: {**prefixed(pair, "0."), **prefixed(state, "1.")},
    "a part, inside a wrapper": lambda pair, state: prefixed(
        {**prefixed(pair, "normalize."), **prefixed(state, "model.")}, "module."
    ),
    "a part, beside another": lambda pair, state: {
        **prefixed(pair, "norm."), **prefixed(state, "model."), "head.weight": torch.ones(3, 3)
    },
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("place", AROUND)
def test_a_normaliser_is_seen_under_any_name_and_anywhere(tmp_path: Path, pair: str, place: str) -> None:
    mean, std = pair.split()
    values = {mean: torch.full((1, 1, 1, 1), 0.1307), std: torch.full((1, 1, 1, 1), 0.3081)}
    torch.save(AROUND[place](values, good), tmp_path / "w.pth")
    with pytest.raises(JobError, match=r"write normalize: \{mean: \[0.1307\], std: \[0.3081\]\}"):
        load(tmp_path / "w.pth")
    found = load(tmp_path / "w.pth", normalize={"mean": [0.1307], "std": [0.3081]})
    torch.testing.assert_close(found(IMAGES), GOOD((IMAGES - 0.1307) / 0.3081), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", r"is empty or cut off \(0 bytes\); copy or download it anew"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS.* git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "is a page of HTML"),
        (b"\n<HTML><body></body></HTML>", "is a page of HTML"),
        (b"<?xml version='1.0'?><Error/>", "is XML, such as a storage's error"),
        (gzip.compress(b"weights" * 9, mtime=0), "is compressed with gzip; unpack it"),
        (bz2.compress(b"weights" * 9), "is compressed with bzip2; unpack it"),
        (lzma.compress(b"weights" * 9), "is compressed with xz; unpack it"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "is an HDF5 file, as Keras writes them; .* set format: keras"),
        (b"\x20\0\0\0TFL3" + b"\0" * 20, "is a TensorFlow Lite model"),
        (b"PK\x03\x04" + b"\0" * 20, "is cut off: its end is missing"),
    ],
)
def test_a_file_under_the_name_of_a_checkpoint_says_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(JobError, match=what):
        load(tmp_path / "w.pth")


def test_archives_of_other_kinds_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", weight=np.zeros(3))
    (tmp_path / "arrays.npz").rename(tmp_path / "arrays.pth")
    with pytest.raises(JobError, match=r"is a file of arrays \(\.npz\)"):
        load(tmp_path / "arrays.pth")
    with zipfile.ZipFile(tmp_path / "keras.pth", "w") as archive:
        for member in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(member, "{}")
    with pytest.raises(JobError, match=r"is a Keras model; .* set format: keras"):
        load(tmp_path / "keras.pth")


def test_a_normaliser_that_changes_something_is_the_jobs_or_refused(tmp_path: Path) -> None:
    torch.save({**good, "mu": torch.tensor([0.3]), "sigma": torch.tensor([0.2])}, tmp_path / "w.pth")
    with pytest.raises(JobError, match=r"write normalize: \{mean: \[0.3\], std: \[0.2\]\}"):
        load(tmp_path / "w.pth")
    assert load(tmp_path / "w.pth", normalize={"mean": [0.3], "std": [0.2]})(IMAGES).shape == (5, 10)
