"""Operations on red, green and blue. Images without colours come out as they are."""

from __future__ import annotations

from functools import reduce
from itertools import permutations

import cv2
import numpy as np

from hardset.pipeline.augment.draws import numbers, same
from hardset.pipeline.augment.operation import Columns, Drawn, LevelOperation, nothing
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.augment.tables import contrasted, luminance, scaled
from hardset.pipeline.batches import Pixels
from hardset.schemas.job.operations.colour import (
    ChannelDropout,
    ChannelShuffle,
    ColorJitter,
    Grayscale,
    Hue,
    Saturation,
)

_FULL_TURN = 360
_JITTER = ("brightness", "contrast", "saturation", "hue")


def turned_hue(image: Pixels, degrees: float) -> Pixels:
    """Image with its hue turned, in floats, since HSV in 8 bits loses up to several levels."""
    if image.shape[2] == 1:
        return image
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[:, :, 0] = (hsv[:, :, 0] + np.float32(degrees)) % _FULL_TURN
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).clip(0, 255).astype(np.uint8)


def saturated(image: Pixels, factor: float) -> Pixels:
    """Image whose distance from grey is multiplied."""
    if image.shape[2] == 1:
        return image
    return cv2.addWeighted(image, factor, cv2.cvtColor(luminance(image), cv2.COLOR_GRAY2RGB), 1 - factor, 0)


def _hue(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return turned_hue(image, drawn["degrees"])


def _saturation(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return saturated(image, drawn["factor"])


def _draw_jitter(spec: ColorJitter, stream: Stream) -> Columns:
    return {**numbers(*_JITTER)(spec, stream), "order": stream.integers(len(_JITTER), 24)}


def _color_jitter(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    changes = (
        lambda one: scaled(one, drawn["brightness"], 0.0),
        lambda one: contrasted(one, drawn["contrast"]),
        lambda one: saturated(one, drawn["saturation"]),
        lambda one: turned_hue(one, drawn["hue"]) if drawn["hue"] else one,
    )
    order = list(permutations(range(len(changes))))[drawn["order"]]
    return reduce(lambda one, number: changes[number](one), order, image)


def _grayscale(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    return image if image.shape[2] == 1 else cv2.cvtColor(luminance(image), cv2.COLOR_GRAY2RGB)


def _draw_order(spec: ChannelShuffle, stream: Stream) -> Columns:
    return {"order": stream.integers(0, 6)}


def _channel_shuffle(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    order = list(permutations(range(image.shape[2])))
    return cv2.merge([cv2.extractChannel(image, channel) for channel in order[drawn["order"] % len(order)]])


def _draw_channels(spec: ChannelDropout, stream: Stream) -> Columns:
    count, order = stream.whole(0, spec.channels).tolist(), stream.orders(1, 3).tolist()
    return {
        "channels": [sorted(some[:few]) for some, few in zip(order, count, strict=True)],
        "fill": same(spec.fill, stream),
    }


def _channel_dropout(image: Pixels, drawn: Drawn, stream: RowStream) -> Pixels:
    found = image.copy()
    found[:, :, [one for one in drawn["channels"] if one < image.shape[2]]] = drawn["fill"]
    return found


COLOUR = (
    LevelOperation(Hue, numbers("degrees"), _hue),
    LevelOperation(Saturation, numbers("factor"), _saturation),
    LevelOperation(ColorJitter, _draw_jitter, _color_jitter),
    LevelOperation(Grayscale, nothing, _grayscale),
    LevelOperation(ChannelShuffle, _draw_order, _channel_shuffle),
    LevelOperation(ChannelDropout, _draw_channels, _channel_dropout),
)
