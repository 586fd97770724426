"""An augmentation of one's own: vignette, which darkens an image towards its corners.

In a job file:

    recipes:
      - {kind: augment, ops: [{name: "augmentation:VIGNETTE", strength: 0.6}]}
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hardset.extending import Operation, OperationSettings, Parameters, Stream


class Vignette(OperationSettings):
    """Darkens an image in proportion to the squared distance from its centre."""

    code: ClassVar[int] = 1
    """Raise it when `draw` or `apply` begin to make other pixels: rows are then made anew."""

    strength: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest loss of light in the corners; each row draws its own from [0, strength]."""


def draw(settings: Vignette, stream: Stream) -> Parameters:
    """One loss of light for each row, from the row's own random stream."""
    return {"loss": stream.uniform(0) * settings.strength}


def apply(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    """Images (N, C, H, W) in [0, 1] times the light that is left at each pixel."""
    height, width = images.shape[-2:]
    y = torch.linspace(-1, 1, height, device=images.device)[:, None]
    x = torch.linspace(-1, 1, width, device=images.device)
    distance = (y**2 + x**2) / 2
    loss = parameters["loss"].to(images.dtype)[:, None, None, None]
    return images * (1 - loss * distance)


VIGNETTE = Operation(Vignette, draw, apply)
