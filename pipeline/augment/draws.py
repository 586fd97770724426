"""Draws that many operations share: settings of theirs, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hardset.pipeline.augment.operation import Columns
from hardset.pipeline.augment.streams import Stream


def numbers(*names: str, kept: Sequence[str] = ()) -> Callable[[Any, Stream], Columns]:
    """A draw of the settings of these names, each from a stream of its own; rows hold those of `kept` as they are."""

    def draw(spec: Any, stream: Stream) -> Columns:
        drawn = {name: stream.number(number, getattr(spec, name)) for number, name in enumerate(names)}
        return {**drawn, **{name: same(getattr(spec, name), stream) for name in kept}}

    return draw


def wholes(*names: str) -> Callable[[Any, Stream], Columns]:
    """A draw of whole numbers for the settings of these names, each from a stream of its own."""

    def draw(spec: Any, stream: Stream) -> Columns:
        return {name: stream.whole(number, getattr(spec, name)) for number, name in enumerate(names)}

    return draw


def same(value: Any, stream: Stream) -> list[Any]:
    """A value for every row."""
    return [value] * len(stream.seeds)


def manner_of(spec: Any) -> dict[str, Any]:
    """Settings of a warp that a row needs to be made again: those that are not at the defaults of `params`."""
    given = {"interpolation": spec.interpolation, "fill": getattr(spec, "fill", 0)}
    usual = {"interpolation": "bilinear", "fill": 0}
    return {name: value for name, value in given.items() if value != usual[name]}
