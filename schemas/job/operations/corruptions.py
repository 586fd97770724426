"""The corruptions of ImageNet-C and ImageNet-C-bar with their strengths: one table for recipes and evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from hardset.schemas.job.operations.amounts import WholeInterval, WholeNumbers, Within
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.kernels import IMAGENET_C

IMAGENET_C_BAR = (
    "Mintun, Kirillov and Xie: On Interaction Between Augmentations and Corruptions in Natural Corruption Robustness. "
    "https://arxiv.org/abs/2102.11273"
)
CommonName = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic",
    "pixelate",
    "jpeg",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
BarName = Literal[
    "blue_noise_sample",
    "brownish_noise",
    "caustic_refraction",
    "checkerboard_cutout",
    "cocentric_sine_waves",
    "inverse_sparkles",
    "perlin_noise",
    "plasma_noise",
    "single_frequency_greyscale",
    "sparkles",
]
CorruptionName = Literal[CommonName, BarName]
COMMON: tuple[CommonName, ...] = get_args(CommonName)
"""The 19 of ImageNet-C; the last four are those that it holds out."""
BAR: tuple[BarName, ...] = get_args(BarName)
"""The 10 of ImageNet-C-bar."""
Strengths = Literal["cifar", "imagenet"]
SMALL_SIDE = 64
"""Longest side in pixels up to which `auto` takes the strengths for 32 x 32 pixels."""

Five = tuple[Any, Any, Any, Any, Any]


@dataclass(frozen=True)
class CorruptionDeclaration:
    """A corruption and its five strengths for each size of images."""

    strength: str
    """What the numbers of a strength are, with units."""
    cifar: Five
    """Strengths of CIFAR-10-C and CIFAR-10-C-bar, chosen for 32 x 32 pixels."""
    imagenet: Five
    """Strengths of ImageNet-C and ImageNet-C-bar, chosen for 224 x 224 pixels."""
    code: int = 1
    """Code version of this corruption."""
    colours: bool = False
    """Whether images without colours come out as they are."""

    def at(self, severity: int, strengths: Strengths) -> Any:
        """The strength of a severity, 1 to 5."""
        return (self.cifar if strengths == "cifar" else self.imagenet)[severity - 1]


_D = CorruptionDeclaration
CORRUPTIONS: Mapping[str, CorruptionDeclaration] = MappingProxyType(
    {
        "gaussian_noise": _D(
            "standard deviation on [0, 1]", (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)
        ),
        "shot_noise": _D("photons of a value of 255", (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
        "impulse_noise": _D("share of the values", (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
        "defocus_blur": _D(
            "radius of the disk, and sigma that softens it, in pixels",
            ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
            ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ),
        "glass_blur": _D(
            "sigma and largest distance in pixels, rounds",
            ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
            ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ),
        "motion_blur": _D(
            "radius and sigma in pixels; the angle is drawn within 45 degrees",
            ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
            ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ),
        "zoom_blur": _D(
            "end of the enlargements, left out itself, and step",
            ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
            ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ),
        "snow": _D(
            "mean and deviation of the flakes, enlargement, threshold, radius and sigma of their blur, image's share",
            (
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
                (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ),
            (
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
                (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ),
        ),
        "frost": _D(
            "factors of the image and of a procedural texture of ice (not ImageNet-C's photographs)",
            ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
            ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ),
        "fog": _D(
            "largest value of the fractal on [0, 1], and decay of its roughness",
            ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
            ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ),
        "brightness": _D("added to the value of HSV", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
        "contrast": _D("factor about each channel's mean", (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
        "elastic": _D(
            "alpha, sigma and shift of three points, as shares of the side",
            ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
            ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
        ),
        "pixelate": _D("share of the side", (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
        "jpeg": _D("quality", (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
        "speckle_noise": _D(
            "standard deviation relative to the value", (0.06, 0.1, 0.12, 0.16, 0.2), (0.15, 0.2, 0.35, 0.45, 0.6)
        ),
        "gaussian_blur": _D("sigma in pixels", (0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)),
        "spatter": _D(
            "mean, deviation, sigma and threshold of the liquid, its opacity or softening sigma, 1 for mud",
            (
                (0.62, 0.1, 0.7, 0.7, 0.5, 0),
                (0.65, 0.1, 0.8, 0.7, 0.5, 0),
                (0.65, 0.3, 1, 0.69, 0.5, 0),
                (0.65, 0.1, 0.7, 0.69, 0.6, 1),
                (0.65, 0.1, 0.5, 0.68, 0.6, 1),
            ),
            (
                (0.65, 0.3, 4, 0.69, 0.6, 0),
                (0.65, 0.3, 3, 0.68, 0.6, 0),
                (0.65, 0.3, 2, 0.68, 0.5, 0),
                (0.65, 0.3, 1, 0.65, 1.5, 1),
                (0.67, 0.4, 1, 0.65, 1.5, 1),
            ),
        ),
        "saturate": _D(
            "factor and addend of the saturation of HSV",
            ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
            ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
            colours=True,
        ),
        "blue_noise_sample": _D(
            "level: pixels stay where blue noise is above 0.3 level - 2.5 deviations",
            (0.7, 1.4, 2.1, 3.5, 4.2),
            (0.8, 1.6, 2.4, 4.0, 5.6),
        ),
        "brownish_noise": _D(
            "level: 6.4 levels of deviation each", (2.5, 4.0, 5.5, 6.5, 7.0), (1.0, 2.0, 3.0, 4.0, 5.0)
        ),
        "caustic_refraction": _D(
            "level: lens of 0.05 sides and light of 0.2 each", (1.4, 2.2, 3.0, 3.8, 4.6), (2.35, 3.2, 4.9, 6.6, 9.15)
        ),
        "checkerboard_cutout": _D(
            "level: a tenth of every second field each", (1.0, 2.0, 3.0, 4.0, 5.0), (2.0, 3.0, 4.0, 5.0, 6.0)
        ),
        "cocentric_sine_waves": _D(
            "level: 12.8 levels of amplitude each", (0.5, 1.5, 2.5, 3.5, 4.5), (3.0, 5.0, 8.0, 9.0, 10.0)
        ),
        "inverse_sparkles": _D("level: 6.5 of decay each", (1.0, 1.5, 2.5, 4.5, 5.0), (1.0, 2.0, 4.0, 9.0, 10.0)),
        "perlin_noise": _D(
            "level: a twentieth of the noise each", (4.6, 5.8, 7.0, 8.2, 9.4), (4.6, 5.2, 5.8, 7.6, 8.8)
        ),
        "plasma_noise": _D(
            "level: 6.4 levels of amplitude each", (0.7, 2.1, 3.5, 4.9, 6.3), (4.75, 7.0, 8.5, 9.25, 10.0)
        ),
        "single_frequency_greyscale": _D(
            "level: 19.6 levels of amplitude each", (0.3, 0.9, 1.5, 2.1, 2.7), (1.0, 1.5, 2.0, 4.5, 5.0)
        ),
        "sparkles": _D(
            "level: radii of a hundredth of the side each", (0.7, 3.5, 5.6, 6.3, 7.0), (1.0, 2.0, 3.0, 5.0, 6.0)
        ),
    }
)
"""Strengths by severity. ImageNet-C's elastic is scaled by the side, where its code has 244 for 224. CIFAR-10-C-bar
leaves out five of ImageNet-C-bar (caustic_refraction, cocentric_sine_waves, perlin_noise, plasma_noise,
single_frequency_greyscale); for these, `cifar` takes every second of the ten strengths that its authors tried at 32
pixels."""


def strengths_for(height: int, width: int) -> Strengths:
    """The set of strengths that suits images of a size."""
    return "cifar" if max(height, width) <= SMALL_SIDE else "imagenet"


class Corruption(OperationSettings):
    """A corruption of ImageNet-C (19) or of ImageNet-C-bar (10) at a severity of 1 to 5."""

    reference: ClassVar[str] = f"{IMAGENET_C}; {IMAGENET_C_BAR}"
    flattens: ClassVar[bool] = True

    name: Literal["corruption"] = "corruption"
    corruption: CorruptionName | Annotated[tuple[CorruptionName, ...], Field(min_length=1)]
    """Name of the corruption, or a list that rows draw from with equal chance."""
    severity: Annotated[WholeNumbers, Within(1, 5)] = WholeInterval(min=1, max=5)
    """Severity, from 1 to 5."""
    strengths: Literal["auto", "cifar", "imagenet"] = "auto"
    """Set of strengths. cifar: chosen for 32 x 32 pixels; imagenet: for 224 x 224; auto: cifar where no side is longer
    than 64 pixels."""

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions that rows draw from."""
        return self.corruption if isinstance(self.corruption, tuple) else (self.corruption,)

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses colours that are not there."""
        for name in self.names:
            if CORRUPTIONS[name].colours and channels == 1:
                raise ValueError(f"corruption: {name} changes colours, and rows have 1 channel; remove it")

    def strengths_used(self, height: int, width: int) -> tuple[str, ...]:
        """The set that the job says, or that suits the size."""
        return (strengths_for(height, width) if self.strengths == "auto" else self.strengths,)
