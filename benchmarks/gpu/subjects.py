"""Real rows for what has to learn: the bundled digits, as they are or made larger."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource


def digits(side: int = 8, channels: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All 1,797 digits, uint8 (N, side, side, channels), bilinear where larger than 8, and their classes."""
    source = open_source(DigitsSource())
    parts = [source.read(one, source.probe(), 10)[0] for one in source.plan(2048)]
    pixels = np.concatenate([part.pixels for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    if side != 8:
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        larger = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        pixels = larger.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return np.repeat(pixels, channels, axis=3), labels
