"""A chain of augmentations, each row with its own draws, beside the same chain of kornia's layers on the device."""

from __future__ import annotations

import kornia.augmentation
import numpy as np
import torch
from benchmarks.attacks.timing import Contender, take_turns
from benchmarks.gpu.networks import networks
from benchmarks.gpu.setting import Record, Setting
from torch import nn

from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.pipeline.batches import CleanRows
from hardset.schemas.job.recipes import Augment

OPS = [
    {"name": "hflip", "p": 0.5},
    {"name": "rotate", "degrees": 15},
    {"name": "crop", "padding": 4},
    {"name": "gaussian_noise", "std": 0.03},
]


def line(setting: Setting) -> Record:
    """Rows per second from uint8 rows on the host to uint8 rows on the host, at each of two sizes."""
    record: Record = {"operations": [op["name"] for op in OPS], "sizes": {}}
    for network in networks(setting)[:2]:
        pixels = network.pixels(setting.size(512, 8))
        rows = CleanRows(pixels, np.zeros(len(pixels), np.int64), ("",) * len(pixels), np.arange(len(pixels)))
        seeds = np.arange(len(pixels), dtype=np.int64)[:, None]
        recipe = AugmentRecipe(
            Augment.model_validate({"kind": "augment", "ops": OPS}), batch=256, device=setting.device
        )
        layers = _layers(network.side)
        contenders = [
            Contender("hardset", lambda one=recipe, work=rows, keys=seeds: one.make(work, keys)),
            Contender("kornia", lambda one=layers, work=pixels: _by_layers(one, work, setting)),
        ]
        times, _ = take_turns(contenders, setting.size(5, 1), setting.settle)
        record["sizes"][str(network.side)] = {
            "rows": len(pixels),
            "rows_per_second": {name: round(len(pixels) / one.seconds, 1) for name, one in times.items()},
            "over_kornia": round(times["kornia"].seconds / times["hardset"].seconds, 3),
        }
    return record


def _layers(side: int) -> nn.Module:
    augmentation = kornia.augmentation
    return nn.Sequential(
        augmentation.RandomHorizontalFlip(p=0.5),
        augmentation.RandomRotation(15.0, p=1.0),
        augmentation.RandomCrop((side, side), padding=4, p=1.0),
        augmentation.RandomGaussianNoise(0.0, 0.03, p=1.0),
    )


def _by_layers(layers: nn.Module, pixels: np.ndarray, setting: Setting) -> np.ndarray:
    found = []
    for start in range(0, len(pixels), 256):
        images = torch.from_numpy(pixels[start : start + 256]).to(setting.device).permute(0, 3, 1, 2).float() / 255
        levels = (layers(images).clamp(0, 1) * 255).round().to(torch.uint8)
        found.append(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
    return np.concatenate(found)
