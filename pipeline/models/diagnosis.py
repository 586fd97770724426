"""Explanations of a low clean accuracy: the model is fed, or its classes are numbered, otherwise than in training.

Each is tried on real rows and named only where it makes the model right on significantly more of the same rows, so that
a model that is merely weak is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from hardset.pipeline.batches import Pixels
from hardset.pipeline.judging.judge import Classes, Floats, Mask
from hardset.pipeline.models.feeding import Through
from hardset.pipeline.models.finding import Finding, remedy, sentence
from hardset.pipeline.models.numbering import GAIN, gains, numbering
from hardset.schemas.errors import UserError
from hardset.schemas.job.network import Network, Normalize

ENOUGH = 0.9
"""Clean accuracy from which nothing is looked for."""
_FIRST_ROWS = 128
"""Number of rows that every explanation is tried on; the best few are then tried on all."""
_FINALISTS = 4
_MENDED = 0.4
"""Share of the errors that a normalisation must mend: other contrast helps any network that was trained too little."""
_TIED = 0.015
"""Difference of accuracy up to which two explanations count as equal: published normalisations differ as little."""

Asked = Callable[[nn.Module, Pixels], Floats]
"""Logits (N, K) of a module for uint8 rows (N, H, W, C), by the judge."""


@dataclass(frozen=True)
class Explanation:
    """What may be wrong, and how the images would have to be for the model to be right."""

    name: str
    """Name in a list, such as "BGR"."""
    what: str
    """What the model seems to have been trained on, such as "its channels were BGR"."""
    settings: Mapping[str, Any]
    """Sections of the network as they would have to be, by key; None for one that would have to go."""
    change: Callable[[Tensor], Tensor]
    """Images in [0, 1], N x C x H x W, to what the loaded model has to be given instead."""
    mends: float = 0.0
    """Share of the errors that must vanish for it to be named."""


NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "MNIST": ((0.1307,), (0.3081,)),
    "[-1, 1]": ((0.5,), (0.5,)),
    "[0, 255]": ((0.0,), (1 / 255,)),
    "[0, 1]": ((0.0,), (1.0,)),
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10 (deviations of batches)": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR-100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "Fashion-MNIST": ((0.2860,), (0.3530,)),
}
"""What images are commonly brought to: mean and standard deviation by channel, or one of each for all.

The most usual first: of those that no row tells apart it is the one that is named."""
_CAFFE = (103.939, 116.779, 123.68)
"""Mean of ImageNet's blue, green and red."""


def explanations(network: Network, channels: int) -> Iterator[Explanation]:
    """All that may explain why `network`, fed as the job says, errs on rows of `channels` channels."""
    now = network.normalize or Normalize(mean=(0.0,), std=(1.0,))
    span = network.input.range if network.input else (0.0, 1.0)
    yield from _ranges(network, now, span, channels)
    bgr = bool(network.input and network.input.channels == "bgr")
    if channels == 3:
        order = "rgb" if bgr else "bgr"
        settings = _fed_with(network, channels=order)
        yield Explanation(order.upper(), f"its channels were {order.upper()}", settings, lambda images: images.flip(1))
    if channels == 3 and not bgr:
        yield Explanation(
            "Caffe",
            "it was trained on BGR images in [0, 255] less ImageNet's mean, as Caffe has them",
            {
                **_fed_with(network, channels="bgr", range=[0, 255]),
                "normalize": {"mean": list(_CAFFE), "std": [1, 1, 1]},
            },
            lambda images: _renormalised([v / 255 for v in _CAFFE], [1 / 255] * 3, now, span)(images.flip(1)),
        )
    yield Explanation(
        "transposed",
        "rows and columns of its images were swapped",
        _fed_with(network, transpose=not (network.input and network.input.transpose)),
        lambda images: images.mT if images.shape[2] == images.shape[3] else images,
    )
    settings = _fed_with(network, range=[span[1], span[0]])
    yield Explanation("negatives", "its images were negatives", settings, lambda images: 1 - images)


def _fed_with(network: Network, **changes: Any) -> dict[str, Any]:
    """The section `input` with some keys changed; None takes one out, and the section where nothing is left of it."""
    now = {} if network.input is None else network.input.model_dump(mode="json", exclude_defaults=True)
    new = {key: value for key, value in {**now, **changes}.items() if value is not None}
    return {"input": new or None}


def _ranges(network: Network, now: Normalize, span: tuple[float, float], channels: int) -> Iterator[Explanation]:
    if span != (0.0, 1.0):
        unspanned = "it was trained on images in [0, 1]"
        settings = _fed_with(network, range=None)
        yield Explanation("[0, 1]", unspanned, settings, lambda x: (x - span[0]) / (span[1] - span[0]))
    for name, (mean, std) in NORMALISATIONS.items():
        if name == "[0, 1]" and network.normalize is None:
            continue  # as yielded above, or as it is
        if len(mean) in (1, channels) and not _same(now, mean, std, span):
            what = f"on images in {name}" if name[0] == "[" else f"with {name} normalisation"
            settings = _normalised_with(name, mean, std, network, channels)
            change = _renormalised(mean, std, now, span)
            yield Explanation(name, f"it was trained {what}", settings, change, mends=_MENDED)


def _same(now: Normalize, mean: tuple[float, ...], std: tuple[float, ...], span: tuple[float, float]) -> bool:
    """Whether black and white come out within 0.02 of where they do now."""
    wanted = Normalize(mean=mean, std=std)
    return all(
        abs(_fed(end, now, c) - _fed(pixel, wanted, c)) <= 0.02 / std[c % len(std)]
        for c in range(max(len(now.mean), len(mean)))
        for end, pixel in zip(span, (0.0, 1.0), strict=True)
    )


def _fed(value: float, by: Normalize, channel: int) -> float:
    return (value - by.mean[channel % len(by.mean)]) / by.std[channel % len(by.std)]


def _renormalised(
    mean: Sequence[float], std: Sequence[float], now: Normalize, span: tuple[float, float]
) -> Callable[[Tensor], Tensor]:
    """Images such that the model's own range and normalisation turn them into (image - mean) / std."""

    def change(images: Tensor) -> Tensor:
        wanted = (images - _values(mean, images)) / _values(std, images)
        spread = wanted * _values(now.std, images) + _values(now.mean, images)
        return (spread - span[0]) / (span[1] - span[0])

    return change


def _values(values: Sequence[float], images: Tensor) -> Tensor:
    return images.new_tensor(list(values)).view(1, -1, 1, 1)


def _normalised_with(
    name: str, mean: tuple[float, ...], std: tuple[float, ...], network: Network, channels: int
) -> dict[str, Any]:
    """Sections by which the network would get images of a normalisation."""
    unspanned = _fed_with(network, range=None) if network.input and network.input.range != (0.0, 1.0) else {}
    if name == "[0, 1]":
        return {**({"normalize": None} if network.normalize else {}), **unspanned}
    span = {"[-1, 1]": [-1, 1], "[0, 255]": [0, 255]}.get(name)
    if span and network.normalize is None:
        return _fed_with(network, range=span)
    means, stds = ([round(value, 6) for value in values * (channels // len(values))] for values in (mean, std))
    return {"normalize": {"mean": means, "std": stds}, **unspanned}


def findings(
    module: nn.Module, network: Network, at: str, pixels: Pixels, labels: Classes, logits: Floats, ask: Asked
) -> tuple[Finding, ...]:
    """What explains that the module errs on rows, uint8 (N, H, W, C) with labels (N,): one that fits, or none.

    `logits` (N, K): the module's own on these rows. `ask`: gives logits of a changed module. Empty where nothing
    explains it significantly, or accuracy is high.
    """
    right = logits.argmax(axis=1) == labels
    if right.mean() >= ENOUGH or len(labels) < 2:
        return ()
    numbered = numbering(logits, labels, network.output_order, at)
    if numbered is not None:
        return (numbered,)
    fitting = _fed_wrongly(module, network, pixels, labels, right, logits.shape[1], ask)
    if not fitting:
        return ()
    (why, hits), others = fitting[0], fitting[1:]
    mended = remedy(at, why.settings)
    if others:
        names = ", ".join(f"{other.name} ({mask.mean():.1%})" for other, mask in others)
        mended += f"; {names} would fit as well: take what the model was trained with"
    return (Finding(sentence(at, right, hits, why.what, mended), why.settings),)


def _fed_wrongly(
    module: nn.Module, network: Network, pixels: Pixels, labels: Classes, right: Mask, classes: int, ask: Asked
) -> list[tuple[Explanation, Mask]]:
    """Explanations that fit, and the rows (N,) that the model is right on as if so; those that no row tells apart."""
    first = slice(0, _FIRST_ROWS)

    def hits(one: Explanation, rows: slice) -> Mask:
        try:
            logits = ask(Through(module, one.change), pixels[rows])
        except UserError:
            raise
        except Exception:  # the user's code may refuse images that are changed so, such as those beyond [0, 1]
            return np.zeros(len(labels[rows]), np.bool_)
        return np.asarray(np.isfinite(logits).all(axis=1) & (logits.argmax(axis=1) == labels[rows]), np.bool_)

    base = right[first].mean() + GAIN / 2
    heats = [(hits(one, first).mean(), one) for one in explanations(network, pixels.shape[3])]
    best = sorted((heat for heat in heats if heat[0] > base), key=lambda heat: -heat[0])[:_FINALISTS]
    order = [one for _, one in heats if any(one is other for _, other in best)]
    judged = [(one, hits(one, slice(None))) for one in order]
    wrong = 1 - right.mean()
    fitting = [
        (one, mask)
        for one, mask in judged
        if gains(right, mask, classes) and mask.mean() - right.mean() >= one.mends * wrong
    ]
    most = max((int(mask.sum()) for _, mask in fitting), default=0)
    return [(one, mask) for one, mask in fitting if most - int(mask.sum()) <= _TIED * len(labels)]
