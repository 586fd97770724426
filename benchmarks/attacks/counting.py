"""A model that counts its forward and backward passes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Counted(nn.Module):
    """Wraps a model and counts rows in backward passes, and rows in forward passes without gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.gradients = 0
        """Rows of backward passes; one forward pass that is differentiated twice counts twice."""
        self.queries = 0

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits."""
        logits: Tensor = self.model(images)
        if torch.is_grad_enabled() and images.requires_grad:
            logits.register_hook(self._count)
        else:
            self.queries += len(images)
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)
