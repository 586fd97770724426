"""The other families: augmentation beside kornia's own, the GAN, and adversarial training beside a plain loop."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.gpu import augmenting, sampling, training
from benchmarks.gpu.setting import Line, Part, Setting


def lines(setting: Setting) -> Mapping[str, Line]:
    """Every line, in order of weight."""
    return {
        "adversarial training": lambda: training.line(setting),
        "augmentation": lambda: augmenting.line(setting),
        "GAN": lambda: sampling.line(setting),
        "adversarial training, compiled": lambda: training.line(setting, compiled=True),
    }


PART = Part("families", "augmentation, GAN and adversarial training", 120, lines)
