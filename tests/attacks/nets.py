"""Small classifiers with known answers, and clean rows to attack."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.schemas.job.recipes import Attack

CPU = torch.device("cpu")


class TwoClassLinear(nn.Module):
    """Logits (0, w.x + b): the smallest change that flips it is |w.x + b| over the dual norm of w."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), bias

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weight + self.bias
        return torch.stack((torch.zeros_like(score), score), dim=1)


def linear_case(generator: np.random.Generator) -> tuple[nn.Module, np.ndarray, np.ndarray, np.ndarray]:
    """A linear model, 60 rows of 8 x 8 and their labels, and each row's Linf distance from the border in levels."""
    weight = torch.tensor(generator.normal(size=64), dtype=torch.float32)
    pixels = images(60, low=60, high=196)
    scores = torch.from_numpy(pixels).reshape(60, -1).double() / 255 @ weight.double()
    bias = -float(scores.median())
    labels = (scores + bias > 0).long().numpy()
    distance = (scores + bias).abs().numpy() * 255 / float(weight.abs().sum())
    return TwoClassLinear(weight, bias), pixels, labels, distance


def frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


def conv_net(*, channels: int = 1, classes: int = 10, seed: int = 0, gain: float = 4.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(64, classes),
        )  # fmt: skip
    with torch.no_grad():
        net[-1].weight.mul_(gain)
    return frozen(net)


def linear_net(*, channels: int = 1, classes: int = 10, side: int = 8, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return frozen(nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes)))


def images(count: int, *, channels: int = 1, side: int = 8, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
    shape = (count, side, side, channels)
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.int64).astype(np.uint8)


def predictions(net: nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()


def rows(pixels: np.ndarray, labels: np.ndarray) -> CleanRows:
    count = len(pixels)
    return CleanRows(pixels, labels.astype(np.int64), tuple(f"row#{i}" for i in range(count)), np.arange(count))


def seeds(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 2**63, count, dtype=np.int64)


def recipe(
    net: nn.Module, *, classes: int = 10, batch: int = 8, precision: str = "float32", **settings
) -> AttackRecipe:
    spec = Attack(**settings).resolved()
    return AttackRecipe(spec, module=net, classes=classes, batch=batch, precision=precision, device=CPU)
