"""The models that the warnings of an evaluation are tried on, and the warnings that each deserves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from benchmarks.doubts.networks import constant
from benchmarks.doubts.training import adversarially_trained, digits, fitted, saved
from torch import nn

import hardset
from hardset.pipeline.evaluation.training_data import shard_rows
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.job.evaluation import Threat
from hardset.schemas.records.run import Image

EPS = "38/255"
TEST: Mapping[str, Any] = {"format": "digits", "splits": ["test"], "limit": {"rows": 150, "by": "class"}}
_ZOO = "hardset.pipeline.models.zoo"
_NETWORKS = "benchmarks.doubts.networks"


@dataclass(frozen=True)
class Case:
    """One model, and how it is evaluated."""

    name: str
    what: str
    """The model in a few words."""
    model: Mapping[str, Any]
    """Settings of the evaluated model without its name."""
    due: frozenset[str] = frozenset()
    """Kinds of the warnings that the model deserves; any other is a false alarm."""
    eps: str = EPS
    source: Mapping[str, Any] = field(default_factory=lambda: dict(TEST))
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further models of the same evaluation, by name."""
    eot: int = 1
    """Passes that gradients are averaged over."""
    further: tuple[Mapping[str, Any], ...] = ()
    """Further threats with one attack each."""
    shifts: tuple[int, ...] = ()
    """Shifts in pixels."""


def published(data: Path, rows: int) -> list[Case]:
    """Published networks on the first `rows` images; `data`: folder of weights and images, as benchmarks.evaluation."""
    weights = data / "weights"
    cifar = {"format": "parquet", "path": str(data / "cifar10_test_jpeg.parquet"), "limit": rows, "channels": 3}
    mnist = {"format": "parquet", "path": str(data / "mnist_t10k.parquet"), "limit": rows, "channels": 1}
    resnet = {
        "factory": f"{_ZOO}:cifar_resnet20",
        "weights": str(weights / "cifar_resnet20.safetensors"),
        "normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }
    small = {
        "factory": f"{_ZOO}:cnn_a",
        "weights": str(weights / "cifar_cnn_a_adv.safetensors"),
        "normalize": {"mean": [125.3 / 255, 123.0 / 255, 113.9 / 255], "std": [63.0 / 255, 62.1 / 255, 66.7 / 255]},
    }
    grey = {"factory": f"{_ZOO}:cnn_a", "arguments": {"channels": 1, "side": 28}}
    undefended = [
        Case(
            f"resnet20-{eps.partition('/')[0]}",
            "undefended ResNet-20 (published, CIFAR-10)",
            resnet,
            eps=eps,
            source=cifar,
        )
        for eps in ("1/255", "2/255", "8/255")
    ]
    return [
        *undefended,
        Case("cnn_a_adv", "PGD-trained CNN (published, CIFAR-10)", small, eps="2/255", source=cifar),
        Case(
            "mnist_cnn_a_adv",
            "PGD-trained CNN (published, MNIST)",
            {**grey, "weights": str(weights / "mnist_cnn_a_adv.safetensors")},
            eps="0.3",
            source=mnist,
        ),
        Case(
            "mnist_fast_fgsm",
            "FGSM-trained from random starts, not overfitted (published, MNIST)",
            {**grey, "weights": str(weights / "mnist_fast_fgsm.safetensors")},
            eps="0.3",
            source=mnist,
        ),
    ]


def _net(weights: str, factory: str = f"{_ZOO}:small_cnn", **settings: Any) -> dict[str, Any]:
    return {"factory": factory, "weights": weights, **settings}


_HIDDEN = frozenset({"not_vanishing", "zero_gradients", "black_box"})


def disguised(folder: Path) -> list[Case]:
    """An undefended network on the digits and what can be put around it, and ones that know nothing; made in seconds.

    Weights are written below `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clean = digits("train")
    plain = _kept(folder, "plain", lambda: fitted(clean.pixels, clean.labels))
    integers = _kept(folder, "integers", lambda: _in_integers(plain))
    collapsed = _kept(folder, "collapsed", constant)
    random, chance = frozenset({"by_chance", "not_vanishing"}), frozenset({"at_chance"})
    return [
        Case("plain", "undefended", _net(plain)),
        Case("rounded", "masked: undefended behind a rounding layer", _net(plain, f"{_NETWORKS}:rounded"), _HIDDEN),
        Case(
            "saturated",
            "masked: undefended, logits a thousand times as large",
            _net(plain, f"{_NETWORKS}:saturated"),
            _HIDDEN,
        ),
        Case("noisy", "stochastic: undefended behind noise", _net(plain, f"{_NETWORKS}:noisy"), random, eot=4),
        Case("integers", "quantised: undefended, weights of 8 bits", _net(integers)),
        Case("shifted", "at chance: undefended, classes in another order", _net(plain, f"{_NETWORKS}:shifted"), chance),
        Case("collapsed", "at chance: one class for every image", _net(collapsed, f"{_NETWORKS}:constant"), chance),
    ]


def trained(folder: Path) -> list[Case]:
    """Networks on the digits trained for robustness, well or badly. Weights and a dataset go below `folder`."""
    clean = digits("train")
    plain = _kept(folder, "plain", lambda: fitted(clean.pixels, clean.labels))
    robust = _kept(folder, "robust", lambda: adversarially_trained(eps=0.15, steps=5, epochs=12))
    overfitted = _kept(folder, "overfitted", lambda: adversarially_trained(eps=0.5, steps=1, epochs=15))
    worn = _kept(folder, "worn", lambda: fitted(clean.pixels, clean.labels, weights=robust))
    made = folder / "made"
    static = _kept(folder, "static", lambda: _static(plain, made))
    return [
        Case("robust", "PGD-trained", _net(robust)),
        Case("robust-small", "PGD-trained, at a small budget", _net(robust), eps="8/255"),
        Case(
            "overfitted",
            "FGSM-trained without random starts: catastrophic overfitting",
            _net(overfitted),
            frozenset({"fgsm_gap"}),
            eps="0.5",
        ),
        Case(
            "noisy-robust",
            "stochastic: PGD-trained behind noise",
            _net(robust, f"{_NETWORKS}:noisy"),
            frozenset({"by_chance", "not_vanishing"}),
            eot=4,
        ),
        Case(
            "few-levels",
            "quantised: PGD-trained, input of 4 bits, gradient passed through",
            _net(robust, f"{_NETWORKS}:few_levels"),
        ),
        Case(
            "static",
            "trained on one fixed set of adversarial rows",
            _net(static, trained_on=[str(made)]),
            frozenset({"static_shard"}),
        ),
        Case("robust-shard", "PGD-trained, and said to have seen that set", _net(robust, trained_on=[str(made)])),
        Case(
            "worn",
            "PGD-trained, then trained on clean rows alone",
            _net(worn, last_of="best"),
            frozenset({"robust_overfitting"}),
            beside={"best": _net(robust)},
        ),
        Case(
            "hardened",
            "PGD-trained against Linf, measured under L2 and shifts as well",
            _net(robust, hardened_from="before"),
            frozenset({"held_out"}),
            beside={"before": _net(plain)},
            further=({"norm": "l2", "eps": 0.8},),
            shifts=(2,),
        ),
    ]


def _kept(folder: Path, name: str, made: Callable[[], nn.Module]) -> str:
    path = folder / f"{name}.safetensors"
    return str(path) if path.exists() else saved(made(), path)


def _in_integers(weights: str) -> nn.Module:
    """The network with every weight rounded to one of 255 values of its tensor."""
    module, tensors = small_cnn(), safetensors.torch.load_file(weights)
    for name, tensor in tensors.items():
        if name.endswith("weight"):
            step = tensor.abs().max() / 127
            tensors[name] = torch.round(tensor / step) * step
    module.load_state_dict(tensors)
    return module.eval()


def _static(weights: str, made: Path) -> nn.Module:
    """Makes adversarial rows of the train split once, and trains on them and the clean ones."""
    hardset.generate(
        {
            "name": "static",
            "source": {"format": "digits", "splits": ["train"]},
            "model": {"factory": f"{_ZOO}:small_cnn", "weights": weights, "classes": 10},
            "recipes": [{"kind": "attack", "name": "pgd", "eps": EPS, "steps": 20}],
            "output": {"path": str(made)},
        }
    )
    pixels, labels = shard_rows(str(made), Image(height=8, width=8, channels=1), Threat(eps=EPS))  # type: ignore[arg-type]
    clean = digits("train")
    both = np.concatenate([pixels, clean.pixels]), np.concatenate([labels, clean.labels])
    return fitted(*both, weights=weights)
