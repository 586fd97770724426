"""Images of levels: correctly rounded, and never the tensor that was given."""

from __future__ import annotations

import numpy as np
import torch

from hardset.pipeline.compute.levels import unit_images


def test_every_level_is_what_a_reader_of_the_file_gets() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8)
    wanted = torch.from_numpy(np.arange(256, dtype=np.float32).reshape(4, 8, 8) / np.float32(255))
    assert torch.equal(unit_images(levels), wanted)
    floats = levels.float()
    assert torch.equal(unit_images(floats), wanted)
    assert torch.equal(floats, levels.float()), "the levels stay as they are"
