"""8-bit rows to tensors and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute.levels import unit_images


def to_images(pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 N x H x W x C to float32 N x C x H x W in [0, 1]."""
    return unit_images(torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2))


def to_pixels(images: Tensor) -> Pixels:
    """Float N x C x H x W in [0, 1] to uint8 N x H x W x C, rounded half to even."""
    pixels: Pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
