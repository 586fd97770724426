"""Attack targets: a model, its rows and a budget."""

from __future__ import annotations

import copy
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from benchmarks.attacks.networks import resnet18
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

AttackName = Literal["fgsm", "pgd", "apgd_ce"]


@dataclass(frozen=True)
class Settings:
    """Settings shared by all implementations. Linf, one random start per restart (fgsm: none)."""

    attack: AttackName
    eps: Fraction
    step_size: Fraction
    """On the [0, 1] pixel scale. For apgd the first step: twice eps in the paper, and hard-coded in the libraries."""
    steps: int
    restarts: int = 1
    batch: int = 128
    start: int = 0
    """Index of the random start; figures are averaged over several."""


@dataclass(frozen=True)
class Subject:
    """A model and its rows."""

    name: str
    model: nn.Module
    """Float32 images (N, C, H, W) in [0, 1] to logits; eval mode; parameters require gradients, as users load them."""
    pixels: NDArray[np.uint8]
    """Clean rows (N, H, W, C)."""
    labels: NDArray[np.int64]
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, rows: int) -> Subject:
        """The same subject with its first `rows` rows."""
        return Subject(self.name, self.model, self.pixels[:rows], self.labels[:rows], self.classes)

    @property
    def images(self) -> Tensor:
        """Clean images, float32 (N, C, H, W)."""
        return torch.from_numpy(self.pixels).permute(0, 3, 1, 2).contiguous().float() / 255

    @property
    def targets(self) -> Tensor:
        """Labels as a tensor, int64 (N,)."""
        return torch.from_numpy(self.labels)

    def frozen(self) -> nn.Module:
        """Copy of the model without parameter gradients, as hardset's loader gives it to the engine."""
        return copy.deepcopy(self.model).eval().requires_grad_(False)


def random_subject(rows: int) -> Subject:
    """Untrained ResNet-18 of width 32 on random 32 x 32 rows: step speed does not depend on image content."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    return Subject("ResNet-18, width 32", resnet18(), pixels, generator.integers(0, 10, rows), 10)


@dataclass(frozen=True)
class Published:
    """Published models and their evaluation rows, in one folder."""

    folder: Path

    def __bool__(self) -> bool:
        return (self.folder / "reference_models.py").exists()

    def subject(self, name: str, rows: int) -> Subject:
        """A model of FILES with its first `rows` rows."""
        file, mode, size, classes = FILES[name]
        table = pq.read_table(self.folder / file).slice(0, rows)
        read = _photograph(size) if size else _plain(mode)
        pixels = np.stack([read(cell["bytes"]) for cell in table["image"].to_pylist()])
        labels = table["label"].to_numpy().astype(np.int64)
        return Subject(name, self._load(name).requires_grad_(True), pixels, labels, classes)

    def _load(self, name: str) -> nn.Module:
        spec = importlib.util.spec_from_file_location("reference_models", self.folder / "reference_models.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.load(name)


FILES = {
    "mnist_fast_fgsm": ("mnist_t10k.parquet", "L", 0, 10),
    "cifar_cnn_a_adv": ("cifar10_test_jpeg.parquet", "RGB", 0, 10),
    "cifar_resnet20": ("cifar10_test_jpeg.parquet", "RGB", 0, 10),
    "mobilenet_v1_0.25_128": ("imagenet250.parquet", "RGB", 128, 1000),
}
"""Model: file of its rows, colour mode, side to crop to (0: as they are), classes."""


def _plain(mode: str) -> Callable[[bytes], NDArray[np.uint8]]:
    def read(data: bytes) -> NDArray[np.uint8]:
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
        return pixels if pixels.ndim == 3 else pixels[..., None]

    return read


def _photograph(size: int) -> Callable[[bytes], NDArray[np.uint8]]:
    """Decoder that resizes the shorter side to size / 0.875 and crops the centre: ImageNet's evaluation protocol."""

    def read(data: bytes) -> NDArray[np.uint8]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = round(size / 0.875) / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
        left, top = ((side - size) // 2 for side in image.size)
        return np.asarray(image.crop((left, top, left + size, top + size)))

    return read
