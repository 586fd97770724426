"""What a network is fed: range, channel order and axes other than those that images have here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Input

Interpolation = Literal["bilinear", "bicubic"]
"""How an image of another size is resized, with antialiasing."""


class Through(nn.Module):
    """A network that sees a function of its images."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self.network(self.function(images))
        return logits


def fed(images: Tensor, spec: Input) -> Tensor:
    """Images in [0, 1], N x C x H x W, RGB, with the channels, rows and columns and the range that `spec` names."""
    if spec.channels == "bgr":
        images = images.flip(1)
    if spec.transpose:
        images = images.mT
    black, white = spec.range
    return images if spec.range == (0.0, 1.0) else images * (white - black) + black


def channels_last(images: Tensor) -> Tensor:
    """Images N x C x H x W as N x H x W x C."""
    return images.permute(0, 2, 3, 1)


def check_input(spec: Input, channels: int, at: str) -> None:
    """Raises JobError below the key `at` where rows of `channels` channels cannot be fed so."""
    if spec.channels == "bgr" and channels != 3:
        raise JobError(f"{at}.input.channels: got bgr, but the rows have {channels} channel; remove it")


class Sized(nn.Module):
    """Brings images to the size that the network was trained on, as its preprocessor does, differentiably."""

    def __init__(self, network: nn.Module, size: tuple[int, int], interpolation: Interpolation) -> None:
        super().__init__()
        self.network, self.size, self.interpolation = network, size, interpolation

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images N x C x H x W of any height and width."""
        if images.shape[2:] != self.size:
            images = F.interpolate(images, self.size, mode=self.interpolation, antialias=True, align_corners=False)
        logits: Tensor = self.network(images)
        return logits


def sized(network: nn.Module, size: tuple[int, int] | None, interpolation: Interpolation = "bilinear") -> nn.Module:
    """The network preceded by resizing to `size`, height and width; None: as it is."""
    return network if size is None else Sized(network, size, interpolation)
