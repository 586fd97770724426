"""A batch before and after an attack of another library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardset.pipeline.attacks.lent_model import Passes
from hardset.pipeline.attacks.libraries import Batch
from hardset.schemas.errors import JobError

_FARTHEST = 1.0
"""How far out of [0, 1] a value may lie before the images are taken for ones of another scale."""


@dataclass(frozen=True)
class Budget:
    """One of the recipe's budgets, and the attack as it is made for it."""

    eps: float
    units: int
    """What the geometry counts on the 8-bit grid."""
    attack: Batch


@dataclass(frozen=True)
class Shown:
    """A batch before its attack; images are (N, C, H, W), masks bool (N,)."""

    images: Tensor
    pixels: Tensor
    """The clean levels, uint8."""
    labels: Tensor
    targets: Tensor | None
    """Classes to reach, int64 (N,); None: any wrong one."""
    wrong: Tensor
    """Whether the row is skipped because the model errs on the clean image."""

    @property
    def own(self) -> Tensor:
        """Whether the row is skipped because its target is its own label."""
        return torch.zeros_like(self.wrong) if self.targets is None else self.targets == self.labels

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the attack has what it is after where these are the logits."""
        pred = logits.argmax(dim=1)
        return pred != self.labels if self.targets is None else (pred == self.targets) & ~self.own


@dataclass(frozen=True)
class Ended:
    """A batch after its attack."""

    raw: Tensor
    """Images as the attack gave them; the clean ones of broken rows."""
    stored: Tensor
    """Levels, uint8."""
    logits: Tensor
    """Logits of `raw`, float32 (N, classes)."""
    searched: Tensor
    """Whether the attack was given the row."""
    broken: Tensor
    """Whether NaN or infinity came back."""
    passes: Passes


def checked(name: str, found: Any, images: Tensor) -> Tensor:
    """The images (N, C, H, W) that an attack of another library gives for `images`, float32.

    Raises JobError, which begins with the attack's name, where they are none of the same shape in [0, 1].
    """
    wanted = tuple(images.shape)
    given = torch.from_numpy(found) if isinstance(found, np.ndarray) else found
    if not isinstance(given, Tensor):
        raise JobError(f"{name}: gives a {type(found).__name__}; wants a tensor of images of shape {wanted}")
    if tuple(given.shape) != wanted:
        raise JobError(f"{name}: gives images of shape {tuple(given.shape)}; wants {wanted}, that of its input")
    if not given.is_floating_point():
        raise JobError(f"{name}: gives {given.dtype}; wants floats in [0, 1]")
    given = given.detach().to(images.device, torch.float32)
    far = torch.nan_to_num(given, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(far.min()), float(far.max())
    if low < -_FARTHEST or high > 1 + _FARTHEST:
        raise JobError(f"{name}: gives values from {low:.3g} to {high:.3g}; wants images in [0, 1], as it is given")
    return given
