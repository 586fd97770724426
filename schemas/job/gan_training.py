"""Settings of `hardset train-gan`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.bounds import MOST_BATCH

Rate = Literal["auto"] | Annotated[float, Field(gt=0)]


class GanTraining(Spec):
    """Settings of `hardset train-gan`: at most one of `steps`, `images` and `seconds` says how long it trains."""

    loss: Literal["relativistic", "hinge"] = "relativistic"
    """relativistic: paired scores with the gradient penalties R1 and R2; hinge: hinge loss with spectral norm."""
    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Number of steps. Unset, with `images` and `seconds`: 2,000 up to 16 pixels, else 6,000. Photographs need more."""
    images: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Number of real images shown, counted with repeats, instead of steps."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time to train for instead of steps. Turned into steps by a trial, which are recorded."""
    batch: Annotated[int, Field(ge=2, le=MOST_BATCH)] = 64
    """Batch size: real images per step."""
    latent: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Size of the latent vector."""
    features: Annotated[int, Field(ge=8, le=65_536)] = 128
    """Number of channels of the widest layer."""
    generator_rate: Rate = "auto"
    """Adam learning rate of the generator, falling to a twentieth along a cosine. auto: by the loss and channels."""
    discriminator_rate: Rate = "auto"
    """Adam learning rate of the discriminator, falling likewise. auto: by the loss and channels."""
    gamma: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """Weight of R1 and R2, for levels in [-1, 1]. auto: 0.5 for grey images and 0.1 for RGB, growing with the number of
    pixels from 32 x 32 on."""
    augment: Literal["auto"] | bool = "auto"
    """DiffAugment, against a discriminator that learns its rows by heart. auto: RGB only, as moving grey digits did
    harm, also where there were 500."""
    flip: Literal["auto"] | bool = "auto"
    """Mirrors half of the real images, left to right. auto: RGB only, as most grey images are text or digits."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the generator's moving average, which is saved."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of forward and backward passes; weights stay float32. auto: bfloat16 where the device has it."""

    @model_validator(mode="after")
    def _one_budget(self) -> GanTraining:
        given = [name for name in ("steps", "images", "seconds") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: {given[0]} says already how long to train; remove one of the two")
        return self
