"""Policies: what is drawn for each row are other operations, which stand in `params` with their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardset.pipeline.augment.draws import manner_of
from hardset.pipeline.augment.inner import Entry
from hardset.pipeline.augment.noise import rounded
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation
from hardset.pipeline.augment.spaces import (
    AUTO_PAIRS,
    BINS,
    MIX,
    MIX_OVERLAPPING,
    NARROW,
    OF_MIX,
    RAND,
    SIGNED,
    SIGNED_IN_MIX,
    WIDE,
    Space,
    entries,
)
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.policies import (
    AugMix,
    AutoAugment,
    Choosing,
    OneOf,
    RandAugment,
    Shuffle,
    SomeOf,
    TrivialAugment,
)

DrawEntries = Callable[[Any, Stream], list[Entry | None]]
"""(settings, stream of the rows) -> the entry of each row with its name; None where its `p` leaves the row out."""
Apply = Callable[[Pixels, Sequence[Drawn], RowStream, int], Pixels]
"""(image, entries, stream of the policy, place of the first entry) -> image."""


def policies(draw_entries: DrawEntries, apply: Apply) -> tuple[LevelOperation, ...]:
    """The policies, which draw and apply other operations by these functions of the table."""

    def change(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
        return apply(image, drawn["ops"], stream, 0)

    def chosen(spec: Choosing, stream: Stream, orders: Sequence[Sequence[int]]) -> Columns:
        """Entries of each row: its k-th operation draws from the stream of place k."""
        found: list[list[Entry]] = [[] for _ in orders]
        for place in range(max(map(len, orders), default=0)):
            for number, operation in enumerate(spec.ops):
                rows = [row for row, order in enumerate(orders) if place < len(order) and order[place] == number]
                if rows:
                    some = stream.where(torch.tensor(rows, device=stream.seeds.device)).inside(place)
                    for row, entry in zip(rows, draw_entries(operation, some), strict=True):
                        found[row] += [entry] if entry is not None else []
        return {"ops": found}

    def draw_one(spec: OneOf, stream: Stream) -> Columns:
        weights = torch.tensor(spec.weights or (1.0,) * len(spec.ops), dtype=torch.float64)
        ends = (weights.cumsum(0) / weights.sum())[:-1]
        return chosen(spec, stream, torch.bucketize(stream.uniform(0).cpu(), ends, right=True)[:, None].tolist())

    def draw_some(spec: SomeOf, stream: Stream) -> Columns:
        orders, counts = stream.orders(0, len(spec.ops)).tolist(), stream.whole(1, spec.count).tolist()
        return chosen(spec, stream, [order[:count] for order, count in zip(orders, counts, strict=True)])

    def draw_all(spec: Shuffle, stream: Stream) -> Columns:
        return chosen(spec, stream, stream.orders(0, len(spec.ops)).tolist())

    def mix(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
        """(1 - share) image + share times the weighed chains; rounded once."""
        total, place = np.zeros(image.shape, np.float32), 0
        for weight, chain in zip(drawn["weights"], drawn["chains"], strict=True):
            total += np.float32(weight) * apply(image, chain, stream, place)
            place += len(chain)
        share = np.float32(drawn["share"])
        return rounded((1 - share) * image + share * total)

    return (
        LevelOperation(OneOf, draw_one, change),
        LevelOperation(SomeOf, draw_some, change),
        LevelOperation(Shuffle, draw_all, change),
        LevelOperation(RandAugment, _draw_rand, change),
        LevelOperation(TrivialAugment, _draw_trivial, change),
        LevelOperation(AutoAugment, _draw_auto, change),
        LevelOperation(AugMix, _draw_mix, mix),
    )


def _signs(stream: Stream, parameter: int, count: int) -> Tensor:
    return torch.where(stream.uniforms(parameter, count) < 0.5, -1, 1)


def _draw_rand(spec: RandAugment, stream: Stream) -> Columns:
    kinds = (stream.uniforms(0, spec.n) * len(RAND)).long().tolist()
    signs, strengths = _signs(stream, 1, spec.n).tolist(), stream.whole(2, spec.m).tolist()
    manner = manner_of(spec)
    return {
        "ops": [
            [
                entry
                for kind, sign in zip(of_row, signs_of_row, strict=True)
                for entry in _signed(NARROW, RAND[kind], strength / (BINS - 1), sign, manner)
            ]
            for of_row, signs_of_row, strength in zip(kinds, signs, strengths, strict=True)
        ]
    }


def _draw_trivial(spec: TrivialAugment, stream: Stream) -> Columns:
    kinds, bins = stream.integers(0, len(RAND)).tolist(), stream.integers(1, BINS).tolist()
    signs, manner = _signs(stream, 2, 1)[:, 0].tolist(), manner_of(spec)
    rows = zip(kinds, bins, signs, strict=True)
    return {"ops": [_signed(WIDE, RAND[kind], bin_ / (BINS - 1), sign, manner) for kind, bin_, sign in rows]}


def _draw_auto(spec: AutoAugment, stream: Stream) -> Columns:
    pairs = AUTO_PAIRS[spec.policy]
    numbers, chances = stream.integers(0, len(pairs)).tolist(), stream.uniforms(1, 2).tolist()
    signs, manner = _signs(stream, 2, 2).tolist(), manner_of(spec)
    return {
        "ops": [
            [
                entry
                for (name, share, strength), drawn, sign in zip(pairs[number], chance, sign_pair, strict=True)
                if drawn < share
                for entry in _signed(NARROW, name, (strength or 0) / 9, sign, manner)
            ]
            for number, chance, sign_pair in zip(numbers, chances, signs, strict=True)
        ]
    }


def _signed(space: Space, name: str, share: float, sign: int, manner: Entry) -> list[Entry]:
    return entries(space, name, share * sign if name in SIGNED else share, manner)


def _draw_mix(spec: AugMix, stream: Stream) -> Columns:
    """Weights by gamma variates of the row's own generator; with them Dirichlet and Beta are exact for every alpha."""
    names = (*MIX, *MIX_OVERLAPPING) if spec.overlapping else MIX
    manner, columns = manner_of(spec), {name: [] for name in ("share", "weights", "chains")}  # type: ignore[var-annotated]
    depths = [stream.inside(number).whole(0, spec.depth).tolist() for number in range(spec.width)]
    for row, seed in enumerate(stream.seeds.tolist()):
        generator = RowStream(seed, stream.position, stream.branch).generator(1)
        gammas = np.maximum(generator.standard_gamma(spec.alpha, spec.width), 1e-300)
        chains = []
        for of_chain in depths:
            count = of_chain[row]
            kinds = generator.integers(len(names), size=count)
            levels, signs = generator.uniform(0.1, spec.severity, count), generator.integers(2, size=count) * 2 - 1
            chains.append(
                [
                    entry
                    for kind, level, sign in zip(kinds, levels.tolist(), signs.tolist(), strict=True)
                    for entry in entries(
                        OF_MIX, names[kind], level / 10 * (sign if names[kind] in SIGNED_IN_MIX else 1), manner
                    )
                ]
            )
        columns["share"].append(float(generator.beta(spec.alpha, spec.alpha)))
        columns["weights"].append((gammas / gammas.sum()).tolist())
        columns["chains"].append(chains)
    return columns
