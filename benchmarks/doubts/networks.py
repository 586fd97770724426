"""Networks around the small one of the zoo, whose weights they take: faults that warnings must find, and sound ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardset.pipeline.models.zoo import small_cnn

_LEVELS = 15
_DEVIATION = 0.1


class Rounded(nn.Sequential):
    """Sees images in black and white only: the gradient of rounding is zero everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(torch.round(images))


class Saturated(nn.Sequential):
    """Logits a thousand times as large: in float32 most cross-entropies, and their gradients, are exactly zero."""

    def forward(self, images: Tensor) -> Tensor:
        return 1000 * super().forward(images)


class Noisy(nn.Sequential):
    """Adds normal noise to the image at every call."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + _DEVIATION * torch.randn_like(images))


class Shifted(nn.Sequential):
    """Gives each class the logit of the next, as where a list of classes begins at another place."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).roll(1, dims=1)


class FewLevels(nn.Sequential):
    """Sees images in 16 levels; the gradient passes straight through, as in training with simulated quantisation."""

    def forward(self, images: Tensor) -> Tensor:
        rounded = torch.round(images * _LEVELS) / _LEVELS
        return super().forward(images + (rounded - images).detach())


class Constant(nn.Module):
    """Gives every image the same logits, as a network does that collapsed in training."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.arange(10.0))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits + 0 * images.flatten(1).sum(1, keepdim=True)


def rounded() -> nn.Module:
    """The small network behind a layer that hides its gradients."""
    return Rounded(*small_cnn())


def saturated() -> nn.Module:
    """The small network with huge logits."""
    return Saturated(*small_cnn())


def noisy() -> nn.Module:
    """The small network behind noise."""
    return Noisy(*small_cnn())


def few_levels() -> nn.Module:
    """The small network behind a quantised input."""
    return FewLevels(*small_cnn())


def shifted() -> nn.Module:
    """The small network with its classes in another order."""
    return Shifted(*small_cnn())


def constant() -> nn.Module:
    """A network that names one class for every image."""
    return Constant()
