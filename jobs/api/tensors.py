"""Images as torch holds them, and as files do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hardset.pipeline.augment.conversion import to_pixels
from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.compute.levels import unit_images
from hardset.schemas.digests import image_sha256, row_seed
from hardset.schemas.errors import JobError


def rows_of(images: Tensor, labels: Tensor | None = None) -> CleanRows:
    """Clean rows of images: float (N, C, H, W) in [0, 1], C 1 or 3, rounded to the 8-bit grid as files hold them.

    The key of a row is the digest of its pixels. `labels`: integers (N,). Raises JobError for other tensors.
    """
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        raise JobError(f"images: got {_told(images)}; wants a float tensor of the shape (N, C, H, W)")
    if images.shape[1] not in (1, 3) or not images.numel():
        raise JobError(f"images: got {_told(images)}; wants one or more images of 1 or 3 channels, as (N, C, H, W)")
    low, high = (float(edge) for edge in images.detach().aminmax())
    if not (low >= 0 and high <= 1):  # also where one of them is NaN
        raise JobError(f"images: has values from {low:g} to {high:g}; wants 0 to 1, before any normalisation")
    numbers = np.zeros(len(images), np.int64)
    if labels is not None:
        if not isinstance(labels, Tensor) or labels.shape != images.shape[:1] or labels.is_floating_point():
            raise JobError(f"labels: got {_told(labels)}; wants an integer tensor of the shape ({len(images)},)")
        numbers = labels.detach().cpu().to(torch.int64).numpy()
    pixels = to_pixels(images.detach().float())
    digests = tuple(image_sha256(one) for one in pixels)
    return CleanRows(pixels, numbers, digests, np.arange(len(pixels), dtype=np.int64), digests)


def seeds_of(rows: CleanRows, seed: int, recipe: str, variants: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The root of each made row's randomness, int64 (N, variants): it depends on the row, not on those beside it."""
    seeds = [
        [row_seed(run_seed=seed, recipe=recipe, source_key=key, variant=number) for number in range(variants)]
        for key in rows.keys
    ]
    return np.asarray(seeds, np.int64).reshape(len(rows), variants)


def images_of(pixels: Pixels, device: torch.device) -> Tensor:
    """Float32 images (N, C, H, W) in [0, 1] of uint8 rows (N, H, W, C)."""
    return unit_images(torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).contiguous())


def _told(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of the shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
