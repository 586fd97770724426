"""DiffAugment: the same random changes to real and generated images, differentiable, before the discriminator.

Zhao et al., "Differentiable augmentation for data-efficient GAN training" (2020). Grey images are only moved: their
brightness and strokes are what a class consists of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SHIFT = 1 / 8  # longest translation, as a share of the side
_HOLE = 1 / 4  # half side of the cut-out square, as a share of the side


@dataclass(frozen=True)
class Changes:
    """What happens to each of N images: float (N, 1, 1, 1) and int (N,) tensors."""

    brightness: Tensor
    """Added, in [-0.25, 0.25] of levels in [0, 1]."""
    saturation: Tensor
    """Factor of the distance from grey, in [0, 2]."""
    contrast: Tensor
    """Factor of the distance from the mean level, in [0.5, 1.5]."""
    down: Tensor
    right: Tensor
    """Translation, in pixels."""
    row: Tensor
    column: Tensor
    """Centre of the cut-out square."""


def drawn(count: int, height: int, width: int, device: torch.device) -> Changes:
    """Changes of `count` images, from torch's global generator."""
    brightness, saturation, contrast = torch.rand(3, count, 1, 1, 1).to(device)
    tall, wide = round(height * _SHIFT), round(width * _SHIFT)
    places = [
        torch.randint(low, high, (count,)).to(device)
        for low, high in ((-tall, tall + 1), (-wide, wide + 1), (0, height), (0, width))
    ]
    return Changes((brightness - 0.5) / 2, saturation * 2, contrast + 0.5, *places)


def changed(images: Tensor, changes: Changes) -> Tensor:
    """Changed images, (N, C, H, W) like `images`, in and a little outside [0, 1]."""
    colour = images.shape[1] == 3
    if colour:
        images = _coloured(images, changes)
    images = _moved(images, changes, empty=0.5 if colour else 0.0)
    return _cut(images, changes) if colour else images


def _coloured(images: Tensor, changes: Changes) -> Tensor:
    images = images + changes.brightness
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * changes.saturation + grey
    level = images.mean((1, 2, 3), keepdim=True)
    return (images - level) * changes.contrast + level


def _moved(images: Tensor, changes: Changes, empty: float) -> Tensor:
    count, _, height, width = images.shape
    tall, wide = round(height * _SHIFT), round(width * _SHIFT)
    padded = F.pad(images, (wide, wide, tall, tall), value=empty)
    rows = torch.arange(height, device=images.device) + tall - changes.down[:, None]
    columns = torch.arange(width, device=images.device) + wide - changes.right[:, None]
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def _cut(images: Tensor, changes: Changes) -> Tensor:
    _, _, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - changes.row[:, None]).abs() < round(height * _HOLE)
    columns = (torch.arange(width, device=images.device) - changes.column[:, None]).abs() < round(width * _HOLE)
    hole = (rows[:, :, None] & columns[:, None])[:, None]
    return torch.where(hole, 0.5, images)
