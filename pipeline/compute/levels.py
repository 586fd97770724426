"""Images in [0, 1] from 8-bit levels, with the same bits on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_images(levels: Tensor) -> Tensor:
    """Levels 0 to 255, of any shape and dtype, as a new float32 tensor in [0, 1], correctly rounded.

    CUDA multiplies by the reciprocal where it is told to divide by a number (seen with torch 2.11), which is off by
    one unit in the last place for 126 of the 256 levels; it divides where the divisor is a tensor of the device.
    """
    images = levels.to(torch.float32)
    most = images.new_full((1,), 255.0) if images.is_cuda else 255.0
    return images / most if images is levels else images.div_(most)
