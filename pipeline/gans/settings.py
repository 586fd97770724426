"""Settings of a training with nothing left open: what `auto` is for these images, on this machine."""

from __future__ import annotations

import torch

from hardset.pipeline.gans.losses import LOSSES
from hardset.pipeline.gans.shape import Shape
from hardset.schemas.job.gan_training import GanTraining

_SMALL = 16  # pixels; up to this side a third of the steps are enough
_STEPS_OF_SMALL, _STEPS = 2_000, 6_000
_GREY, _COLOUR = 0.5, 0.1  # gamma at 32 pixels, best of a few on MNIST and CIFAR-10


def resolved(settings: GanTraining, shape: Shape, *, device: torch.device) -> GanTraining:
    """`settings` with every `auto` replaced, and a number of steps unless they give seconds."""
    loss, colour = LOSSES[settings.loss], shape.channels == 3
    rates = loss.rates if colour else loss.grey_rates
    generator_rate, discriminator_rate = (
        usual if given == "auto" else given
        for given, usual in zip((settings.generator_rate, settings.discriminator_rate), rates, strict=True)
    )
    steps = settings.steps
    if steps is None and settings.images is not None:
        steps = -(-settings.images // settings.batch)
    if steps is None and settings.seconds is None:
        steps = _STEPS_OF_SMALL if max(shape.height, shape.width) <= _SMALL else _STEPS
    return settings.model_copy(
        update={
            "steps": steps,
            "generator_rate": generator_rate,
            "discriminator_rate": discriminator_rate,
            "gamma": gamma_of(shape) if settings.gamma == "auto" else settings.gamma,
            "augment": colour if settings.augment == "auto" else settings.augment,
            "flip": colour if settings.flip == "auto" else settings.flip,
            "precision": _precision(device) if settings.precision == "auto" else settings.precision,
        }
    )


def gamma_of(shape: Shape) -> float:
    """Weight of R1 and R2 that suits the images; it grows with the number of pixels, from 32 x 32 on."""
    base = _COLOUR if shape.channels == 3 else _GREY
    return base * max(1.0, shape.height * shape.width / 32**2)


def _precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # elsewhere a CPU only imitates bfloat16, slowly
    return "bfloat16" if native is not None and native() else "float32"
