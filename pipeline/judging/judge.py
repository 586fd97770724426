"""Verdicts on stored pixels: always float32, always one batch shape, budgets checked in integers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.compute.levels import unit_images
from hardset.schemas.job.quantities import whole_levels, whole_pixels, whole_squares
from hardset.schemas.norms import NORMS, Norm

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """Computes logits in the reference mode, independently of anything that ran before or runs at the same time.

    The mode sets global switches of torch and restores them, so no other thread may use torch meanwhile.
    """

    module: nn.Module
    """Float32 images in [0, 1], N x C x H x W, to logits, N x classes; eval mode, on the device."""
    batch: int
    """Number of rows in every forward pass; the last batch is padded with copies of its last row."""
    device: torch.device
    stochastic: bool = False
    """Whether the model draws from torch's generators: then each row is judged alone from the same seed, so that its
    verdict depends on no other row and can be reproduced."""
    name: str = "the judge"
    """Name of the model in error messages."""
    divider: Divider = field(default_factory=Divider)
    """Splits batches that do not fit into memory; parts may round differently, which `verify_id` does not record."""

    @property
    def verify_id(self) -> str:
        """Method of computing the verdict: the column `verify_id`."""
        return verify_id(self.batch, stochastic=self.stochastic)

    def logits(self, pixels: Pixels, seed: int = 0) -> Floats:
        """Logits (N, classes) of uint8 rows (N, H, W, C); (0, 0) for no rows. `seed`: for stochastic models."""
        count = len(pixels)
        if count == 0:
            return np.zeros((0, 0), np.float32)
        with exact_float32(self.device), torch.no_grad():
            if self.stochastic:
                parts = [self._alone(pixels[at : at + 1], seed) for at in range(count)]
            else:
                parts = [self._forward(pixels[at : at + self.batch]) for at in range(0, count, self.batch)]
            return torch.cat(parts)[:count].cpu().numpy()

    def _forward(self, pixels: Pixels) -> Tensor:
        lacking = self.batch - len(pixels)
        full = np.concatenate((pixels, np.repeat(pixels[-1:], lacking, axis=0))) if lacking else pixels
        return self._asked(as_images(full, self.device))

    def _alone(self, row: Pixels, seed: int) -> Tensor:
        with seeded(self.device, seed):
            return self._asked(as_images(row, self.device))

    def _asked(self, images: Tensor) -> Tensor:
        def work(rows: slice) -> tuple[Tensor]:
            logits: Tensor = self.module(images[rows])
            return (logits.float(),)

        (logits,) = self.divider.run(self.name, len(images), work)
        return logits


def verify_id(batch: int, *, stochastic: bool) -> str:
    """How verdicts are computed in batches of so many rows, or row by row for models that answer at random."""
    return "fp32-tf32off-b1-seeded" if stochastic else f"fp32-tf32off-b{batch}"


@contextmanager
def seeded(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Seeds torch's generators for models that draw from them; restores their states afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def as_images(pixels: Pixels, device: torch.device) -> Tensor:
    """Float32 images (N, C, H, W) in [0, 1], in channels_last layout, from uint8 rows (N, H, W, C)."""
    # torch warns about read-only arrays, such as memory maps and Arrow buffers.
    levels = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).to(device)
    return unit_images(levels.permute(0, 3, 1, 2))


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Sets exact float32 (no autocast, TF32 or bfloat16) and deterministic kernels; restores all switches."""
    backends: Any = torch.backends
    with_precision = (
        *(backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
        *(backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn),
    )
    precisions = [backend.fp32_precision for backend in with_precision]
    legacy = None
    try:
        for backend in with_precision:
            backend.fp32_precision = "ieee"
        # The older switch is set too, and read only now: torch raises if the two disagree, maybe already on reading.
        legacy = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        with torch.autocast(device.type, enabled=False), deterministic(device):
            yield
    finally:
        if legacy is not None:
            torch.set_float32_matmul_precision(legacy)
        for backend, precision in zip(with_precision, precisions, strict=True):
            backend.fp32_precision = precision


@contextmanager
def deterministic(device: torch.device, *, strict: bool = False) -> Iterator[None]:
    """Kernels that give the same bits every time, on one kind of device; all switches are put back.

    Where an operation has none, torch warns and uses the one there is. `strict`: it raises a RuntimeError instead,
    which `is_not_deterministic` knows; attention has kernels that it uses only then.
    """
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        # CPU passes are deterministic anyway, and the switch imports inductor, which takes 1.6 s (torch 2.13).
        with nullcontext() if device.type == "cpu" else _deterministic_algorithms(strict):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


@contextmanager
def _deterministic_algorithms(strict: bool) -> Iterator[None]:
    # cuBLAS keeps its order of sums only with a workspace of fixed size, and reads this when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    filling: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = filling.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True, warn_only=not strict)
        filling.fill_uninitialized_memory = False  # a kernel more for every tensor that is about to be written
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        filling.fill_uninitialized_memory = filled


def is_not_deterministic(error: BaseException) -> bool:
    """Whether torch refused an operation that has no deterministic kernel."""
    return isinstance(error, RuntimeError) and "deterministic" in str(error)


@dataclass(frozen=True)
class Verdict:
    """The model's verdict on N rows."""

    pred: Classes
    """Predicted class: that of the largest logit, the first among equals; -1 where a logit is not finite."""
    margin: Floats
    """Logit of the label minus the largest other logit; negative if misclassified. NaN where a logit is not finite."""
    confidence: Floats
    """Softmax probability of `pred`. NaN where a logit is not finite."""


def finite_rows(logits: Floats) -> Mask:
    """Mask (N,) of rows with a verdict: all logits are finite. The other rows belong in quarantine."""
    return np.asarray(np.isfinite(logits).all(axis=1), np.bool_)


def verdict(logits: Floats, labels: Classes) -> Verdict:
    """Verdict on logits (N, classes) for labels (N,) in [0, classes). Raises ValueError for other labels."""
    count, classes = logits.shape
    if count == 0:
        return Verdict(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in [0, {classes})")
    finite = finite_rows(logits)
    exact = np.where(finite[:, None], logits, 0).astype(np.float64)
    rows = np.arange(count)
    pred = exact.argmax(axis=1)
    confidence = 1 / np.exp(exact - exact[rows, pred][:, None]).sum(axis=1)
    own = exact[rows, labels]
    exact[rows, labels] = -np.inf
    margin = own - exact.max(axis=1)
    return Verdict(
        pred=np.where(finite, pred, -1),
        margin=np.where(finite, margin, np.nan).astype(np.float32),
        confidence=np.where(finite, confidence, np.nan).astype(np.float32),
    )


def distances(stored: Pixels, clean: Pixels) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Distance of each row: Linf in 8-bit levels, then L2 and L1 on the [0, 1] scale.

    Takes uint8 (N, H, W, C); returns int32 (N,), float32 (N,) and float32 (N,), from integer differences.
    """
    change = _change(stored, clean)
    l2, l1 = np.sqrt(_squares(change)) / 255, _sum(change) / 255
    return _largest(change).astype(np.int32), l2.astype(np.float32), l1.astype(np.float32)


def pixels_changed(stored: Pixels, clean: Pixels) -> NDArray[np.int32]:
    """Number of pixels of each row that differ in any channel, int32 (N,); takes uint8 (N, H, W, C)."""
    return _pixels(_change(stored, clean)).astype(np.int32)


def within_budget(stored: Pixels, clean: Pixels, norm: Norm, eps: NDArray[np.float64]) -> Mask:
    """Mask (N,) of rows within their budget, checked in integers.

    `eps`: (N,) on the [0, 1] scale, in L0 pixels. Raises ValueError for another norm.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be linf, l2, l1 or l0, got {norm!r}")
    spend = {"linf": _largest, "l2": _squares, "l1": _sum, "l0": _pixels}
    budget = {"l2": whole_squares, "l0": whole_pixels}.get(norm, whole_levels)
    allowed = np.asarray([budget(value) for value in eps.tolist()], np.int64)
    inside: Mask = spend[norm](_change(stored, clean)) <= allowed
    return inside


def _change(stored: Pixels, clean: Pixels) -> Pixels:
    """Absolute change of each value; uint8, which takes an eighth of the memory of int64."""
    if stored.shape != clean.shape:
        raise ValueError(f"shapes differ: {stored.shape} and {clean.shape}")
    return np.maximum(stored, clean) - np.minimum(stored, clean)


def _largest(change: Pixels) -> NDArray[np.int64]:
    largest: NDArray[np.int64] = change.max(axis=(1, 2, 3), initial=0).astype(np.int64)
    return largest


def _pixels(change: Pixels) -> NDArray[np.int64]:
    return np.asarray((change > 0).any(axis=3).sum(axis=(1, 2)), np.int64)


def _sum(change: Pixels) -> NDArray[np.int64]:
    total: NDArray[np.int64] = change.sum(axis=(1, 2, 3), dtype=np.int64)
    return total


def _squares(change: Pixels) -> NDArray[np.int64]:
    squares: NDArray[np.int64] = np.einsum("nhwc,nhwc->n", change, change, dtype=np.int64, casting="safe")
    return squares
