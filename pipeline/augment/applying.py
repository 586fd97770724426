"""Drawn parameters applied to images: 8-bit rows one by one, tensors in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.augment.conversion import to_images, to_pixels
from hardset.pipeline.augment.inner import checked
from hardset.pipeline.augment.operation import LevelOperation, Operation
from hardset.pipeline.augment.steps import Step
from hardset.pipeline.augment.streams import RowStream, Stream
from hardset.pipeline.augment.table import operation
from hardset.pipeline.batches import Pixels
from hardset.schemas.errors import JobError

_VALUES = {"cpu": 1 << 20}  # pixel values in flight as tensors; noise of a user's own may hold 150 bytes for each
_VALUES_ELSEWHERE = 1 << 24  # 2.5 GB: 7 photographs at a time would leave an accelerator idle


def apply_to_pixels(pixels: Pixels, steps: Sequence[Step], seeds: Tensor, out: Pixels, device: torch.device) -> None:
    """Images uint8 N x H x W x C after `steps`, into `out` of the same shape.

    Operations on 8-bit rows never leave them. From the first operation on tensors images are tensors on `device`, and
    are rounded to 8 bits where an operation that needs that comes next, and at the end.
    """
    if all(isinstance(operation(step.name), LevelOperation) for step in steps):
        _by_rows(pixels, steps, seeds.tolist(), 0, out)
        return
    step = max(1, _VALUES.get(device.type, _VALUES_ELSEWHERE) // max(1, int(np.prod(pixels.shape[1:]))))
    for start in range(0, len(pixels), step):
        part = slice(start, start + step)
        some = [_some(one, part) for one in steps]
        images = to_images(pixels[part], device)
        out[part] = to_pixels(apply(images, some, seeds[part].to(device)))


def apply(images: Tensor, steps: Sequence[Step], seeds: Tensor) -> Tensor:
    """Images in [0, 1], float32 N x C x H x W, after `steps`, on their device; clamped to [0, 1] at the end.

    An operation on 8-bit rows that has no form for tensors sees images rounded to 8 bits, and gives such.
    """
    for position, step in enumerate(steps):
        rows = step.applied.to(images.device).nonzero()[:, 0]
        if not len(rows):
            continue
        found = operation(step.name)
        if isinstance(found, Operation) or _moves_tensors(found, step):
            images = _by_tensors(images, found, step, rows, Stream(seeds, position))
        else:
            levels = to_pixels(images.clamp(0, 1))
            after = np.empty_like(levels)
            _by_rows(levels, [step], seeds.tolist(), position, after)
            images = to_images(after, images.device)
    return images.clamp(0, 1)


def _moves_tensors(found: LevelOperation, step: Step) -> bool:
    """Whether the form for tensors does all that a step says: it knows no settings that stand beside the numbers."""
    return found.tensors is not None and all(isinstance(values, Tensor) for values in step.parameters.values())


def threads_as_torch() -> None:
    """Lets OpenCV use as many threads as torch, which a worker has set to its share of the machine."""
    if cv2.getNumThreads() != torch.get_num_threads():
        cv2.setNumThreads(torch.get_num_threads())


def _by_rows(pixels: Pixels, steps: Sequence[Step], seeds: Sequence[int], first: int, out: Pixels) -> None:
    """8-bit rows through operations of 8-bit rows, the first of which is at position `first` of the list."""
    threads_as_torch()
    engine = np.random.Philox(key=0)
    found: list[Any] = [operation(step.name) for step in steps]
    plan = [(found[number].change, step.rows(), first + number) for number, step in enumerate(steps)]
    shape = pixels.shape[1:]
    for row, (image, seed) in enumerate(zip(pixels, seeds, strict=True)):
        for change, drawn, position in plan:
            here = drawn[row]
            if here is not None:
                image = change(image, here, RowStream(seed, position, 0, engine))  # noqa: PLW2901
                if image.shape != shape:
                    image = _shaped(image, shape, found[position - first], position)  # noqa: PLW2901
        out[row] = image


def _shaped(image: NDArray[Any], shape: tuple[int, ...], found: LevelOperation, position: int) -> Pixels:
    """An image with its axis of channels, which OpenCV drops where there is one only."""
    if image.size != int(np.prod(shape)):
        raise JobError(f"ops.{position}: {found.settings.__name__} returned {image.shape}; wants {shape}")
    return image.reshape(shape)


def _by_tensors(images: Tensor, found: Operation | LevelOperation, step: Step, rows: Tensor, stream: Stream) -> Tensor:
    before = images[rows]
    chosen = {name: values.to(images.device) for name, values in step.of(rows.cpu()).items()}
    if isinstance(found, Operation):
        after = found.apply(before, chosen, stream.where(rows))
    else:
        assert found.tensors is not None
        after = found.tensors(before, chosen)
    return images.index_copy(0, rows, checked(after, before, step.name, stream.position))


def _some(step: Step, part: slice) -> Step:
    return Step(step.name, step.applied[part], {name: values[part] for name, values in step.parameters.items()})
