"""Several networks as one: the model under attack where a job lists members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from hardset.schemas.digests import digest


class Ensemble(nn.Module):
    """Networks that answer with the mean of their logits, each behind its own normalisation."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits, N x classes, of images in [0, 1], N x C x H x W. Added up in float32 at least."""
        return self.members_logits(images).mean(dim=0)

    def members_logits(self, images: Tensor) -> Tensor:
        """Logits of each member, members x N x classes."""
        return torch.stack([_wide(member(images)) for member in self.members])


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def ensemble_sha256(combine: str, members: Sequence[str]) -> str:
    """Digest of an ensemble: of its members' digests in their order, and of what an attack averages over them."""
    return digest({"combine": combine, "members": list(members)})
