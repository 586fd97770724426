"""Operations that add noise."""

from __future__ import annotations

import torch
from torch import Tensor

from hardset.pipeline.augment.operation import Operation, Parameters
from hardset.pipeline.augment.streams import Stream
from hardset.schemas.job.operations.noise import GaussianNoise


def _draw_std(spec: GaussianNoise, stream: Stream) -> Parameters:
    return {"std": torch.full(stream.seeds.shape, float(spec.std), dtype=torch.float64, device=stream.seeds.device)}


def _add_noise(images: Tensor, parameters: Parameters, stream: Stream) -> Tensor:
    """Adds normal noise, drawn anew from the row's seed each time."""
    return images + parameters["std"].to(images.dtype)[:, None, None, None] * stream.normal(0, tuple(images.shape[1:]))


NOISE = (Operation(GaussianNoise, _draw_std, _add_noise),)
