"""What is compared: settings of hardset for each operation, and the same in other libraries that have it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

Call = tuple[str, dict[str, Any]]
"""Name of a class of a library, and its arguments."""


@dataclass(frozen=True)
class Line:
    """One operation, or a chain of some."""

    ops: tuple[dict[str, Any], ...]
    """Operations as in a job file."""
    albumentations: tuple[Call, ...] = ()
    """Empty: it has none."""
    kornia: tuple[Call, ...] = ()
    torchvision: tuple[Call, ...] = ()


def _one(op: dict[str, Any], a: Call | None = None, k: Call | None = None, t: Call | None = None) -> Line:
    return Line(({"p": 1, **op},), (a,) if a else (), (k,) if k else (), (t,) if t else ())


def lines(side: int) -> dict[str, Line]:
    """The comparisons for square images of a side, by name. Every operation is applied to every row."""
    padding, hole = max(1, side // 16), side // 4
    square = (side, side)
    found = {
        "hflip": _one(
            {"name": "hflip"},
            ("HorizontalFlip", {}),
            ("RandomHorizontalFlip", {}),
            ("RandomHorizontalFlip", {"p": 1.0}),
        ),
        "vflip": _one(
            {"name": "vflip"}, ("VerticalFlip", {}), ("RandomVerticalFlip", {}), ("RandomVerticalFlip", {"p": 1.0})
        ),
        "d4": _one({"name": "d4"}, ("D4", {})),
        "transpose": _one({"name": "transpose"}, ("Transpose", {})),
        "crop": _one(
            {"name": "crop", "padding": padding},
            ("RandomCrop", {"height": side, "width": side}),
            ("RandomCrop", {"size": square, "padding": padding}),
            ("RandomCrop", {"size": square, "padding": padding}),
        ),
        "random_resized_crop": _one(
            {"name": "random_resized_crop"},
            ("RandomResizedCrop", {"size": square}),
            ("RandomResizedCrop", {"size": square}),
            ("RandomResizedCrop", {"size": square, "antialias": False}),
        ),
        "rotate": _one(
            {"name": "rotate", "degrees": 15},
            ("Rotate", {"limit": 15, "border_mode": 0}),
            ("RandomRotation", {"degrees": 15.0}),
            ("RandomRotation", {"degrees": 15, "interpolation": "bilinear"}),
        ),
        "affine": _one(
            {"name": "affine"},
            ("Affine", {"scale": (0.9, 1.1), "rotate": (-15, 15), "translate_percent": (-0.1, 0.1)}),
            ("RandomAffine", {"degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.9, 1.1)}),
            (
                "RandomAffine",
                {"degrees": 15, "translate": (0.1, 0.1), "scale": (0.9, 1.1), "interpolation": "bilinear"},
            ),
        ),
        "shear": _one(
            {"name": "shear"},
            ("Affine", {"shear": {"x": (-15, 15), "y": (0, 0)}, "scale": 1.0, "translate_percent": 0}),
            ("RandomShear", {"shear": 15.0}),
        ),
        "perspective": _one(
            {"name": "perspective", "distortion": 0.3},
            ("Perspective", {"scale": (0.05, 0.15), "keep_size": True}),
            ("RandomPerspective", {"distortion_scale": 0.3}),
            ("RandomPerspective", {"distortion_scale": 0.3, "p": 1.0}),
        ),
        "elastic": _one(
            {"name": "elastic"},
            ("ElasticTransform", {"alpha": 50, "sigma": 4}),
            ("RandomElasticTransform", {}),
            ("ElasticTransform", {"alpha": 50.0, "sigma": 4.0}),
        ),
        "grid_distortion": _one({"name": "grid_distortion"}, ("GridDistortion", {"num_steps": 5})),
        "optical_distortion": _one(
            {"name": "optical_distortion"},
            ("OpticalDistortion", {}),
            ("RandomFisheye", {"center_x": (-0.3, 0.3), "center_y": (-0.3, 0.3), "gamma": (0.9, 1.1)}),
        ),
        "brightness": _one(
            {"name": "brightness"},
            ("RandomBrightnessContrast", {"contrast_limit": 0}),
            ("RandomBrightness", {"brightness": (0.8, 1.2)}),
            ("ColorJitter", {"brightness": 0.2}),
        ),
        "contrast": _one(
            {"name": "contrast"},
            ("RandomBrightnessContrast", {"brightness_limit": 0}),
            ("RandomContrast", {"contrast": (0.7, 1.3)}),
            ("ColorJitter", {"contrast": 0.3}),
        ),
        "gamma": _one({"name": "gamma"}, ("RandomGamma", {}), ("RandomGamma", {"gamma": (0.7, 1.4)})),
        "invert": _one({"name": "invert"}, ("InvertImg", {}), ("RandomInvert", {}), ("RandomInvert", {"p": 1.0})),
        "solarize": _one(
            {"name": "solarize"},
            ("Solarize", {}),
            ("RandomSolarize", {}),
            ("RandomSolarize", {"threshold": 128, "p": 1.0}),
        ),
        "posterize": _one(
            {"name": "posterize"},
            ("Posterize", {"num_bits": 4}),
            ("RandomPosterize", {"bits": 4}),
            ("RandomPosterize", {"bits": 4, "p": 1.0}),
        ),
        "autocontrast": _one(
            {"name": "autocontrast"},
            ("AutoContrast", {}),
            ("RandomAutoContrast", {}),
            ("RandomAutocontrast", {"p": 1.0}),
        ),
        "equalize": _one(
            {"name": "equalize"}, ("Equalize", {}), ("RandomEqualize", {}), ("RandomEqualize", {"p": 1.0})
        ),
        "clahe": _one({"name": "clahe"}, ("CLAHE", {}), ("RandomClahe", {})),
        "tone_curve": _one({"name": "tone_curve"}, ("RandomToneCurve", {})),
        "hue": _one(
            {"name": "hue"},
            ("HueSaturationValue", {"sat_shift_limit": 0, "val_shift_limit": 0}),
            ("RandomHue", {"hue": (-0.1, 0.1)}),
            ("ColorJitter", {"hue": 0.1}),
        ),
        "color_jitter": _one(
            {"name": "color_jitter"},
            ("ColorJitter", {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}),
            ("ColorJitter", {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}),
            ("ColorJitter", {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}),
        ),
        "grayscale": _one(
            {"name": "grayscale"}, ("ToGray", {}), ("RandomGrayscale", {}), ("RandomGrayscale", {"p": 1.0})
        ),
        "channel_shuffle": _one(
            {"name": "channel_shuffle"},
            ("ChannelShuffle", {}),
            ("RandomChannelShuffle", {}),
            ("RandomChannelPermutation", {}),
        ),
        "channel_dropout": _one({"name": "channel_dropout"}, ("ChannelDropout", {}), ("RandomChannelDropout", {})),
        "gaussian_blur": _one(
            {"name": "gaussian_blur", "sigma": {"min": 0.5, "max": 2}},
            ("GaussianBlur", {"blur_limit": 0, "sigma_limit": (0.5, 2)}),
            ("RandomGaussianBlur", {"kernel_size": (9, 9), "sigma": (0.5, 2.0)}),
            ("GaussianBlur", {"kernel_size": 9, "sigma": (0.5, 2.0)}),
        ),
        "median_blur": _one(
            {"name": "median_blur", "size": 5},
            ("MedianBlur", {"blur_limit": (5, 5)}),
            ("RandomMedianBlur", {"kernel_size": (5, 5)}),
        ),
        "motion_blur": _one(
            {"name": "motion_blur", "length": 7},
            ("MotionBlur", {"blur_limit": (7, 7)}),
            ("RandomMotionBlur", {"kernel_size": 7, "angle": 90.0, "direction": 0.0}),
        ),
        "defocus_blur": _one({"name": "defocus_blur", "radius": 3}, ("Defocus", {"radius": (3, 3)})),
        "zoom_blur": _one(
            {"name": "zoom_blur", "factor": 1.11},
            ("ZoomBlur", {"max_factor": (1.11, 1.11), "step_factor": (0.01, 0.01)}),
        ),
        "glass_blur": _one(
            {"name": "glass_blur", "sigma": 0.7, "shift": 1, "rounds": 2},
            ("GlassBlur", {"sigma": 0.7, "max_delta": 1, "iterations": 2}),
        ),
        "sharpen": _one(
            {"name": "sharpen"},
            ("Sharpen", {}),
            ("RandomSharpness", {"sharpness": (1.0, 3.0)}),
            ("RandomAdjustSharpness", {"sharpness_factor": 2.0, "p": 1.0}),
        ),
        "gaussian_noise": _one(
            {"name": "gaussian_noise", "std": 0.05},
            ("GaussNoise", {"std_range": (0.05, 0.05)}),
            ("RandomGaussianNoise", {"std": 0.05}),
        ),
        "shot_noise": _one({"name": "shot_noise", "photons": 60}, ("ShotNoise", {"scale_range": (0.1, 0.1)})),
        "impulse_noise": _one(
            {"name": "impulse_noise", "amount": 0.05},
            ("SaltAndPepper", {"amount": (0.05, 0.05)}),
            ("RandomSaltAndPepperNoise", {"amount": 0.05}),
        ),
        "jpeg": _one(
            {"name": "jpeg", "quality": {"min": 40, "max": 95}},
            ("ImageCompression", {"quality_range": (40, 95)}),
            ("RandomJPEG", {"jpeg_quality": (40.0, 95.0)}),
            ("JPEG", {"quality": (40, 95)}),
        ),
        "pixelate": _one({"name": "pixelate"}, ("Downscale", {"scale_range": (0.5, 0.95)})),
        "erase": _one(
            {"name": "erase"},
            ("Erasing", {"scale": (0.02, 0.33)}),
            ("RandomErasing", {"scale": (0.02, 0.33)}),
            ("RandomErasing", {"p": 1.0}),
        ),
        "grid_mask": _one(
            {"name": "grid_mask", "period": hole}, ("GridDropout", {"ratio": 0.5, "unit_size_range": (hole - 1, hole)})
        ),
        "pixel_dropout": _one({"name": "pixel_dropout", "share": 0.05}, ("PixelDropout", {"dropout_prob": 0.05})),
        "fog": _one({"name": "fog"}, ("RandomFog", {})),
        "snow": _one({"name": "snow"}, ("RandomSnow", {}), ("RandomSnow", {})),
        "rain": _one(
            {"name": "rain"},
            ("RandomRain", {}),
            ("RandomRain", {"number_of_drops": (100, 200), "drop_height": (5, 8), "drop_width": (-3, 3)}),
        ),
        "spatter": _one({"name": "spatter"}, ("Spatter", {})),
        "rand_augment": _one({"name": "rand_augment"}, None, None, ("RandAugment", {})),
        "trivial_augment": _one({"name": "trivial_augment"}, None, None, ("TrivialAugmentWide", {})),
        "aug_mix": _one({"name": "aug_mix"}, None, None, ("AugMix", {})),
    }
    padded = ("PadIfNeeded", {"min_height": side + 2 * padding, "min_width": side + 2 * padding, "border_mode": 0})
    found["crop"] = replace(found["crop"], albumentations=(padded, *found["crop"].albumentations))
    chain = ("hflip", "rotate", "crop", "gaussian_noise")
    found["chain: flip, rotate, crop, noise"] = Line(
        tuple(op for name in chain for op in found[name].ops),
        tuple(call for name in chain for call in found[name].albumentations),
        tuple(call for name in chain for call in found[name].kornia),
    )
    return found
