"""Networks with faults that warnings must find."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardset.pipeline.models.zoo import small_cnn


class Rounded(nn.Sequential):
    """Sees images in black and white only: the gradient of rounding is zero everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(torch.round(images))


def rounded() -> nn.Module:
    """The small network behind a layer that hides its gradients; takes the same weights."""
    return Rounded(*small_cnn())
