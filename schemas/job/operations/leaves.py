"""The operations that change an image by themselves, and the union of their settings where policies hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hardset.schemas.extensions import open_union
from hardset.schemas.job.operations import (
    colour,
    compression,
    corruptions,
    geometry,
    kernels,
    noise,
    regions,
    tables,
    warps,
    weather,
)
from hardset.schemas.job.operations.base import OperationSettings, UserOperation

LEAVES: tuple[type[OperationSettings], ...] = (
    geometry.HorizontalFlip,
    geometry.VerticalFlip,
    geometry.Rotate90,
    geometry.Transpose,
    geometry.D4,
    geometry.Crop,
    warps.Rotate,
    warps.Translate,
    warps.Shear,
    warps.Scale,
    warps.Affine,
    warps.Perspective,
    warps.RandomResizedCrop,
    warps.Elastic,
    warps.GridDistortion,
    warps.OpticalDistortion,
    tables.Brightness,
    tables.Contrast,
    tables.Gamma,
    tables.Invert,
    tables.Solarize,
    tables.Posterize,
    tables.AutoContrast,
    tables.Equalize,
    tables.Clahe,
    tables.ToneCurve,
    colour.Hue,
    colour.Saturation,
    colour.ColorJitter,
    colour.Grayscale,
    colour.ChannelShuffle,
    colour.ChannelDropout,
    kernels.GaussianBlur,
    kernels.MedianBlur,
    kernels.MotionBlur,
    kernels.DefocusBlur,
    kernels.ZoomBlur,
    kernels.GlassBlur,
    kernels.Sharpen,
    noise.GaussianNoise,
    noise.ShotNoise,
    noise.ImpulseNoise,
    noise.SpeckleNoise,
    compression.Jpeg,
    compression.Webp,
    compression.Pixelate,
    regions.Erase,
    regions.GridMask,
    regions.PixelDropout,
    weather.Fog,
    weather.Frost,
    weather.Snow,
    weather.Rain,
    weather.Spatter,
    corruptions.Corruption,
)
"""In the order of the documentation."""

if TYPE_CHECKING:
    Leaf: TypeAlias = OperationSettings | UserOperation
else:
    Leaf = open_union(LEAVES, UserOperation)
