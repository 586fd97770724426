"""The generators that files may hold, by the architecture that their cards name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from hardset.pipeline.gans import hinge_projection_1, networks
from hardset.pipeline.gans.shape import Shape

ARCHITECTURES: dict[str, Callable[[Shape], nn.Module]] = {
    networks.ARCHITECTURE: networks.GeneratorNet,
    hinge_projection_1.ARCHITECTURE: hinge_projection_1.GeneratorNet,
}
"""Each builds `forward(latents, classes) -> images in [0, 1]`; raises ValueError for shapes that it cannot make."""
