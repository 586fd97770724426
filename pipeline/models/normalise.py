"""Normalisation inside the model, so that every budget is in pixel units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from schemas.errors import JobError
from schemas.job import Normalize


class Normalized(nn.Module):
    """Subtracts the mean and divides by the deviation, then runs `net`."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


def normalised(net: nn.Module, spec: Normalize | None, channels: int) -> nn.Module:
    """`net` behind its normalisation. Raises JobError where the channel counts differ."""
    if spec is None:
        return net
    if len(spec.mean) not in (1, channels):
        raise JobError(
            f"model.normalize: mean has {len(spec.mean)} values, but the rows have {channels} channels; "
            "give one value per channel, or set source.channels"
        )
    return Normalized(net, spec.mean, spec.std)
