"""Sizes of what a generator takes and makes."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST, LARGEST = 8, 128
"""Supported image sides, in pixels."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a generator's input and output. Raises ValueError for images that no network here can produce."""

    classes: int
    height: int
    width: int
    channels: int
    latent: int
    """Size of the latent vector."""
    features: int
    """Number of channels of the widest layer."""

    def __post_init__(self) -> None:
        if any(not SMALLEST <= side <= LARGEST for side in (self.height, self.width)):
            raise ValueError(
                f"images of {self.height} x {self.width} pixels; the GAN makes sides of {SMALLEST} to {LARGEST} pixels"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"images with {self.channels} channels; the GAN makes 1 or 3")
