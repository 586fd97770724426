"""Operations that mix in a partner. Its pixels come with the drawn values as `with`; JSON never holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.augment.draws import same
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.steps import Step
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Partners, Pixels
from hardset.schemas.errors import RunError
from hardset.schemas.job.operations.mixing import CutMix, MixUp, PatchMix

WITH, PARTNER = "with", "partner"


def _draw(spec: Any, stream: Stream) -> dict[str, Any]:
    """`partner`: a number of 32 bits that picks from the pool, whatever its size; `share`: of the row itself."""
    shares = [
        float(RowStream(seed, stream.position).generator(1).beta(spec.alpha, spec.alpha))
        for seed in stream.seeds.tolist()
    ]
    return {PARTNER: stream.integers(0, 1 << 31), "share": torch.tensor(shares, dtype=torch.float64)}


def _mixup(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return cv2.addWeighted(image, drawn["share"], drawn[WITH], 1 - drawn["share"], 0)


def _draw_box(spec: CutMix, stream: Stream) -> Columns:
    return {**_draw(spec, stream), "y": stream.uniform(1), "x": stream.uniform(2)}


def box(shape: Sequence[int], drawn: Drawn) -> tuple[slice, slice]:
    """Rows and columns of the rectangle: sides of sqrt(1 - share) about an even centre, cut at the rim."""
    found = []
    for side, at in zip(shape[:2], (drawn["y"], drawn["x"]), strict=True):
        length, centre = int(side * math.sqrt(1 - drawn["share"])), int(at * side)
        found.append(slice(max(centre - length // 2, 0), min(centre - length // 2 + length, side)))
    return found[0], found[1]


def _cutmix(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    found, part = image.copy(), box(image.shape, drawn)
    found[part] = drawn[WITH][part]
    return found


def _draw_squares(spec: PatchMix, stream: Stream) -> Columns:
    """`squares`: numbers of those that are the partner's, in reading order."""
    drawn = _draw(spec, stream)
    count = spec.cells**2
    orders = stream.orders(1, count).tolist()
    taken = ((1 - drawn["share"]) * count).round().long().tolist()
    squares = [sorted(order[:few]) for order, few in zip(orders, taken, strict=True)]
    return {**drawn, "cells": same(spec.cells, stream), "squares": squares}


def mask(shape: Sequence[int], drawn: Drawn) -> NDArray[np.bool_]:
    """Pixels (H, W) that are the partner's."""
    cells = drawn["cells"]
    chosen = np.zeros(cells * cells, bool)
    chosen[drawn["squares"]] = True
    rows, columns = (np.arange(side) * cells // side for side in shape[:2])
    found: NDArray[np.bool_] = chosen.reshape(cells, cells)[rows[:, None], columns]
    return found


def _patch_mix(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return np.where(mask(image.shape, drawn)[:, :, None], drawn[WITH], image)


def _cut_share(shape: Sequence[int], drawn: Drawn) -> float:
    rows, columns = box(shape, drawn)
    return 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (shape[0] * shape[1])


_SHARES: Mapping[str, Callable[[Sequence[int], Drawn], float | None]] = MappingProxyType(
    {
        "erase": lambda shape, drawn: None,
        "mixup": lambda shape, drawn: float(drawn["share"]),
        "cutmix": _cut_share,
        "patch_mix": lambda shape, drawn: 1 - float(mask(shape, drawn).mean()),
    }
)
"""Share of the row's own class, from the shape of the image and the drawn values; None where it stays whole."""

MIXERS = (
    LevelOperation(MixUp, _draw, _mixup),
    LevelOperation(CutMix, _draw_box, _cutmix),
    LevelOperation(PatchMix, _draw_squares, _patch_mix),
)


def with_partners(steps: Sequence[Step], partners: Partners | None) -> tuple[Step, ...]:
    """The steps, those that mix with their partners' pixels. Raises RunError where there is no pool to draw from."""
    return tuple(_mixed(step, partners) if _shows_partner(step) else step for step in steps)


def _shows_partner(step: Step) -> bool:
    return step.name in _SHARES and PARTNER in step.parameters


def _mixed(step: Step, partners: Partners | None) -> Step:
    pool, words = _required(partners), torch.as_tensor(step.parameters[PARTNER]).tolist()
    return replace(step, parameters={**step.parameters, WITH: [pool.pixels[pool.place(word)] for word in words]})


def mixed_columns(steps: Sequence[Step], partners: Partners | None, shape: Sequence[int]) -> dict[str, list[Any]]:
    """Columns of rows with a partner: label_2, label_weight, partner_key, partner_sha256; none where no step has one.

    The first two are empty where the label stays the row's own.
    """
    for step in steps:
        if _shows_partner(step):
            pool = _required(partners)
            rows = [
                None if drawn is None else (pool.place(drawn[PARTNER]), _SHARES[step.name](shape, drawn))
                for drawn in step.rows()
            ]
            return {
                "label_2": [None if one is None or one[1] is None else int(pool.labels[one[0]]) for one in rows],
                "label_weight": [None if one is None else one[1] for one in rows],
                "partner_key": [None if one is None else pool.keys[one[0]] for one in rows],
                "partner_sha256": [None if one is None else pool.sha256[one[0]] for one in rows],
            }
    return {}


def share_of(name: str, shape: Sequence[int], drawn: Drawn) -> float | None:
    """Share of the row's own class after an operation that mixes, worked out of what was drawn; None: all of it."""
    return _SHARES[name](shape, drawn)


def _required(partners: Partners | None) -> Partners:
    if partners is None:
        raise RunError("mixing needs the pool of partners that the plan of a run fixes, and there is none here")
    return partners
