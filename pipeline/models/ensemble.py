"""Ensembles: several networks as one model under attack, for jobs that list members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from hardset.schemas.digests import digest


class Ensemble(nn.Module):
    """Averages the logits of its member networks, each with its own normalisation."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits, N x classes, of images in [0, 1], N x C x H x W. Summed in float32 or wider."""
        return self.members_logits(images).mean(dim=0)

    def members_logits(self, images: Tensor) -> Tensor:
        """Logits of each member, members x N x classes."""
        return torch.stack([_wide(member(images)) for member in self.members])


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def ensemble_sha256(combine: str, members: Sequence[str]) -> str:
    """SHA-256 of an ensemble: over its members' digests in order and `combine`, what an attack averages."""
    return digest({"combine": combine, "members": list(members)})
