"""Spaces of the published policies: names of their operations, with strengths turned into drawn values of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hardset.pipeline.augment.inner import Entry

BINS = 31
SIGNED = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"}
)
RAND = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
"""The 14 of RandAugment and of TrivialAugment."""
MIX = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""The nine of AugMix that do not overlap ImageNet-C."""
MIX_OVERLAPPING = ("color", "contrast", "brightness", "sharpness")
_WARPS = frozenset({"rotate", "shear", "translate"})

Space = Mapping[str, Callable[[float], Entry]]
"""Operations by name: the entry at a share of the largest strength, from -1 to 1 where the name is in `SIGNED`."""


def _lean(axis: str, most: float) -> Callable[[float], Entry]:
    def entry(share: float) -> Entry:
        angle = math.degrees(math.atan(share * most))
        return {"name": "shear", "x": angle if axis == "x" else 0.0, "y": angle if axis == "y" else 0.0}

    return entry


def _shift(axis: str, most: float, **unit: str) -> Callable[[float], Entry]:
    def entry(share: float) -> Entry:
        return {
            "name": "translate",
            "x": share * most if axis == "x" else 0.0,
            "y": share * most if axis == "y" else 0.0,
            **unit,
        }

    return entry


def _space(*, shear: float, shift: float, degrees: float, factor: float, bits: int, **unit: str) -> Space:
    return {
        "shear_x": _lean("x", shear),
        "shear_y": _lean("y", shear),
        "translate_x": _shift("x", shift, **unit),
        "translate_y": _shift("y", shift, **unit),
        "rotate": lambda share: {"name": "rotate", "degrees": share * degrees},
        "brightness": lambda share: {"name": "brightness", "amount": 0.0, "factor": 1 + share * factor},
        "color": lambda share: {"name": "saturation", "factor": 1 + share * factor},
        "contrast": lambda share: {"name": "contrast", "factor": 1 + share * factor},
        "sharpness": lambda share: {"name": "sharpen", "factor": 1 + share * factor},
        "posterize": lambda share: {"name": "posterize", "bits": 8 - round(share * bits)},
        "solarize": lambda share: {"name": "solarize", "threshold": round(255 * (1 - share))},
        "autocontrast": lambda share: {"name": "autocontrast"},
        "equalize": lambda share: {"name": "equalize"},
        "invert": lambda share: {"name": "invert"},
    }


NARROW = _space(shear=0.3, shift=150 / 331, degrees=30, factor=0.9, bits=4)
"""Strengths of RandAugment and AutoAugment; shifts are shares of the side."""
WIDE = _space(shear=0.99, shift=32, degrees=135, factor=0.99, bits=6, unit="pixels")
"""Strengths of TrivialAugment's wide space; shifts are pixels."""
OF_MIX: Space = {
    **_space(shear=0.3, shift=1 / 3, degrees=30, factor=0, bits=0),
    "rotate": lambda share: {"name": "rotate", "degrees": float(int(share * 30))},
    "posterize": lambda share: {"name": "posterize", "bits": max(1, 4 - int(share * 4))},
    "solarize": lambda share: {"name": "solarize", "threshold": 256 - int(share * 256)},
    "brightness": lambda share: {"name": "brightness", "amount": 0.0, "factor": 0.1 + 1.8 * share},
    "color": lambda share: {"name": "saturation", "factor": 0.1 + 1.8 * share},
    "contrast": lambda share: {"name": "contrast", "factor": 0.1 + 1.8 * share},
    "sharpness": lambda share: {"name": "sharpen", "factor": 0.1 + 1.8 * share},
}
"""Strengths of AugMix; factors have no sign there."""
SIGNED_IN_MIX = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})


def entries(space: Space, name: str, share: float, manner: Entry) -> list[Entry]:
    """The operation of a name, with the manner of reading between pixels where it does so; none for the identity."""
    if name == "identity":
        return []
    entry = space[name](share)
    return [entry | manner if entry["name"] in _WARPS else entry]


Pair = tuple[tuple[str, float, int | None], tuple[str, float, int | None]]


def pairs_of(text: str) -> tuple[Pair, ...]:
    """Pairs of (operation, chance, strength of 0 to 9) from lines such as `rotate .7 2, translate_x .3 9`."""

    def one(words: str) -> tuple[str, float, int | None]:
        name, chance, *strength = words.split()
        return name, float(chance), int(strength[0]) if strength else None

    found = []
    for line in text.strip().splitlines():
        first, second = line.split(",")
        found.append((one(first), one(second)))
    return tuple(found)


_CIFAR = """
invert .1, contrast .2 6
rotate .7 2, translate_x .3 9
sharpness .8 1, sharpness .9 3
shear_y .5 8, translate_y .7 9
autocontrast .5, equalize .9
shear_y .2 7, posterize .3 7
color .4 3, brightness .6 7
sharpness .3 9, brightness .7 9
equalize .6, equalize .5
contrast .6 7, sharpness .6 5
color .7 7, translate_x .5 8
equalize .3, autocontrast .4
translate_y .4 3, sharpness .2 6
brightness .9 6, color .2 8
solarize .5 2, invert .0
equalize .2, autocontrast .6
equalize .2, equalize .6
color .9 9, equalize .6
autocontrast .8, solarize .2 8
brightness .1 3, color .7 0
solarize .4 5, autocontrast .9
translate_y .9 9, translate_y .7 9
autocontrast .9, solarize .8 3
equalize .8, invert .1
translate_y .7 9, autocontrast .9
"""
_IMAGENET = """
posterize .4 8, rotate .6 9
solarize .6 5, autocontrast .6
equalize .8, equalize .6
posterize .6 7, posterize .6 6
equalize .4, solarize .2 4
equalize .4, rotate .8 8
solarize .6 3, equalize .6
posterize .8 5, equalize 1
rotate .2 3, solarize .6 8
equalize .6, posterize .4 6
rotate .8 8, color .4 0
rotate .4 9, equalize .6
equalize 0, equalize .8
invert .6, equalize 1
color .6 4, contrast 1 8
rotate .8 8, color 1 2
color .8 8, solarize .8 7
sharpness .4 7, invert .6
shear_x .6 5, equalize 1
color .4 0, equalize .6
equalize .4, solarize .2 4
solarize .6 5, autocontrast .6
invert .6, equalize 1
color .6 4, contrast 1 8
equalize .8, equalize .6
"""
_SVHN = """
shear_x .9 4, invert .2
shear_y .9 8, invert .7
equalize .6, solarize .6 6
invert .9, equalize .6
equalize .6, rotate .9 3
shear_x .9 4, autocontrast .8
shear_y .9 8, invert .4
shear_y .9 5, solarize .2 6
invert .9, autocontrast .8
equalize .6, rotate .9 3
shear_x .9 4, solarize .3 3
shear_y .8 8, invert .7
equalize .9, translate_y .6 6
invert .9, equalize .6
contrast .3 3, rotate .8 4
invert .8, translate_y .0 2
shear_y .7 6, solarize .4 8
invert .6, rotate .8 4
shear_y .3 7, translate_x .9 3
shear_x .1 6, invert .6
solarize .7 2, translate_y .6 7
shear_y .8 4, invert .8
shear_x .7 9, translate_y .8 3
shear_y .8 5, autocontrast .7
shear_x .7 2, invert .1
"""
AUTO_PAIRS = {"cifar": pairs_of(_CIFAR), "imagenet": pairs_of(_IMAGENET), "svhn": pairs_of(_SVHN)}
"""The published pairs, with strengths in tenths from 0 to 9."""
