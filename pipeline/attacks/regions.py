"""Where values may change: the rectangle of a patch, drawn for each row and then applied as a mask."""

from __future__ import annotations

import torch
from torch import Tensor

from hardset.pipeline.compute import rng
from hardset.schemas.job.attack_recipe import Region


def check_region(region: Region, shape: tuple[int, int]) -> None:
    """Raises ValueError where the region does not lie within images of `shape`, height and width."""
    top, left = region.place if isinstance(region.place, tuple) else (0, 0)
    if top + region.height > shape[0] or left + region.width > shape[1]:
        at = f" at [{top}, {left}]" if isinstance(region.place, tuple) else ""
        raise ValueError(
            f"region of {region.height} x {region.width}{at} reaches beyond images of {shape[0]} x {shape[1]}"
        )


def region_corners(region: Region, seeds: Tensor, shape: tuple[int, int]) -> Tensor:
    """Top and left of each row's region, int64 (N, 2), from row seeds int64 (N,).

    `random` is uniform over all places within the image; `center` leaves the odd pixel below and to the right.
    """
    check_region(region, shape)
    spare = (shape[0] - region.height, shape[1] - region.width)
    if region.place == "random":
        # One word for either axis, so that the height of an image has no say in where its region lies across.
        words = rng.words(seeds, rng.Draw.REGION, 2)
        return (words * torch.tensor([spare[0] + 1, spare[1] + 1], device=seeds.device)) >> 32
    place = (spare[0] // 2, spare[1] // 2) if region.place == "center" else region.place
    return torch.tensor(place, device=seeds.device).expand(seeds.shape[0], 2)


def region_masks(region: Region, seeds: Tensor, shape: tuple[int, int]) -> Tensor:
    """1 where values may change, else 0: float32 (N, 1, height, width), from row seeds int64 (N,).

    `shape` is height and width of the images; a region that reaches beyond them raises ValueError.
    """
    top, left = region_corners(region, seeds, shape).view(-1, 2, 1).unbind(dim=1)
    rows, columns = (torch.arange(size, device=seeds.device) for size in shape)
    down = (rows >= top) & (rows < top + region.height)
    across = (columns >= left) & (columns < left + region.width)
    return (down[:, None, :, None] & across[:, None, None, :]).to(torch.float32)


def unchanged_outside(pixels: Tensor, clean: Tensor, mask: Tensor) -> Tensor:
    """Whether uint8 rows (N, C, H, W) equal the clean ones wherever `mask` (N, 1, H, W) is 0, bool (N,)."""
    return ((pixels == clean) | (mask > 0)).flatten(1).all(dim=1)
