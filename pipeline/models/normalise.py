"""Normalisation inside the model, so that budgets and step sizes are in pixel units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Normalize


class Normalised(nn.Module):
    """Subtracts mean and divides by standard deviation, per channel, before the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalize: Normalize) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(normalize.mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(normalize.std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images in [0, 1], N x C x H x W."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def normalised(network: nn.Module, normalize: Normalize | None, channels: int, *, at: str = "model") -> nn.Module:
    """The network preceded by its normalisation. Raises JobError below the key `at` if `channels` does not fit it."""
    if normalize is None:
        return network
    given = len(normalize.mean)
    if given != channels:
        raise JobError(
            f"{at}.normalize: mean and std have {given} value{'s' * (given > 1)}, but the rows have {channels} "
            f"channel{'s' * (channels > 1)}; give one value per channel, or set source.channels to {given}"
        )
    return Normalised(network, normalize)
