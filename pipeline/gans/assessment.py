"""Assesses a trained generator with a classifier: label agreement, fidelity, diversity and memorisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.quality import quality
from hardset.pipeline.gans.recipe import SampleRecipe

_BATCH = 256


def assess(
    generator: Generator,
    module: nn.Module,
    *,
    held_out: Pixels,
    training: Pixels,
    rows: int = 1_000,
    seed: int = 0,
    device: torch.device,
) -> dict[str, float]:
    """Figures of `pipeline.gans.quality`, and `label_agreement`, for `rows` samples spread evenly over the classes.

    `module`: images in [0, 1], NCHW, to logits; frozen, in eval mode, on `device`. `held_out` and `training`: uint8
    N x H x W x C, more than five rows each; at most `rows` of each, evenly spaced, are used.
    """
    made, asked = sampled(generator, rows, seed, device)
    features, logits = penultimate(module, made, device=device)
    real, trained_on = (penultimate(module, _spread(part, rows), device=device)[0] for part in (held_out, training))
    agreement = (logits.argmax(1).cpu().numpy() == asked).mean()
    return {"label_agreement": float(agreement), **asdict(quality(real, features, trained_on))}


def distance_and_recall(
    module: nn.Module, real: Pixels, *, rows: int = 1_000, device: torch.device
) -> Callable[[Generator], tuple[float, float]]:
    """Function that gives a generator's squared Fréchet distance and recall against `real` rows, as `assess` does."""
    real_features, _ = penultimate(module, _spread(real, rows), device=device)

    def measure(generator: Generator) -> tuple[float, float]:
        made, _ = sampled(generator, rows, 0, device)
        found = quality(real_features, penultimate(module, made, device=device)[0], real_features)
        return found.fd_target, found.recall

    return measure


def sampled(generator: Generator, rows: int, seed: int, device: torch.device) -> tuple[Pixels, NDArray[np.int64]]:
    """Samples uint8 (rows, H, W, C), spread evenly over the classes, and the classes that were asked for."""
    asked = np.arange(rows, dtype=np.int64) % generator.card.classes
    return sampled_of(generator, asked, seed, device), asked


def sampled_of(generator: Generator, asked: NDArray[np.int64], seed: int, device: torch.device) -> Pixels:
    """Samples uint8 (N, H, W, C) of the classes asked for, (N,)."""
    count, numbers = len(asked), np.arange(len(asked), dtype=np.int64)
    seeds = np.random.default_rng(seed).integers(0, 2**63, (count, 1), np.int64)
    rows = CleanRows(np.zeros((0, 0, 0, 1), np.uint8), asked, tuple(map(str, numbers)), numbers)
    recipe = SampleRecipe(generator, classes=generator.card.classes, batch=_BATCH, device=device)
    return recipe.make(rows, seeds).pixels


def penultimate(module: nn.Module, pixels: Pixels, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Input of the last linear layer called, float32 (N, D), and the logits, float32 (N, classes).

    For a module without linear layers both are the logits.
    """
    taken: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].flatten(1)))
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]
    features, logits = [], []
    try:
        with torch.no_grad():
            for start in range(0, len(pixels), _BATCH):
                taken.clear()
                images = unit_images(torch.from_numpy(pixels[start : start + _BATCH]).to(device).permute(0, 3, 1, 2))
                logits.append(module(images))
                features.append(taken[-1] if taken else logits[-1])
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(features), torch.cat(logits)


def _spread(pixels: Pixels, most: int) -> Pixels:
    if len(pixels) <= most:
        return pixels
    return pixels[np.linspace(0, len(pixels) - 1, most).astype(np.int64)]
