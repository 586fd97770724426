"""Workers that share a batch: who takes which rows, and sums over all of them. One worker alone is a team of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """This worker's place among all."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def here() -> Team:
        """The team of torch's process group, where there is one."""
        if dist.is_available() and dist.is_initialized():
            return Team(dist.get_rank(), dist.get_world_size())
        return Team()

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Adds up over all workers, in place, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
