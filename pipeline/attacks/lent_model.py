"""The model as attacks of other libraries get it: its passes counted, its mode its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Passes:
    """Forward passes of a batch, which are an upper limit for each of its rows."""

    gradients: int
    queries: int


class LentModel(nn.Module):
    """The model as it is lent: counts its passes, and stays in eval mode whatever its borrower asks for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = False
        self.passes = Passes(0, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Float32 logits of images in [0, 1], N x C x H x W."""
        differentiable = torch.is_grad_enabled() and images.requires_grad
        self.passes = Passes(self.passes.gradients + differentiable, self.passes.queries + (not differentiable))
        logits: Tensor = self.module(images.float())
        return logits

    def train(self, mode: bool = True) -> LentModel:
        """Changes nothing."""
        return self
