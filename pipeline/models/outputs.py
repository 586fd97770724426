"""What a network returns, made into one tensor of logits in the order of the source's classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from hardset.schemas.errors import JobError


class Logits(nn.Module):
    """A network whose answer may hold its logits: `.logits`, `["logits"]`, or the first of their shape among several.

    One logit z for two classes becomes [0, z], whose softmax gives the second class the probability sigmoid(z).
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, images: Tensor) -> Tensor:
        """Logits, N x classes."""
        return logits_of(self.network(images), len(images), self.classes)


class Reordered(nn.Module):
    """A network whose outputs stand in another order than the source's classes."""

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network, self.order = network, list(order)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, N x classes, in label order."""
        logits: Tensor = self.network(images)[:, self.order]
        return logits


def logits_of(answer: object, rows: int, classes: int) -> Tensor:
    """Logits (rows, classes) in what a network returns; what holds none comes back as it is, or its first tensor."""
    tensors = list(_tensors(answer))
    found = next((shaped for tensor in tensors if (shaped := _shaped(tensor, rows, classes)) is not None), None)
    if found is not None:
        return found
    first = tensors[0] if tensors else answer
    if classes == 2 and isinstance(first, Tensor) and first.shape in ((rows, 1), (rows,)):
        score = first.reshape(rows, 1)
        return torch.cat((torch.zeros_like(score), score), dim=1)
    return first  # type: ignore[return-value]  # preflight tells what it is


def _shaped(tensor: Tensor, rows: int, classes: int) -> Tensor | None:
    """The tensor as (rows, classes) where it is so but for axes of one place, such as those of a last convolution."""
    shape = tuple(tensor.shape)
    fits = shape[:1] == (rows,) and tuple(side for side in shape[1:] if side != 1) == (
        (classes,) if classes > 1 else ()
    )
    return tensor.reshape(rows, classes) if fits else None


def _tensors(answer: object) -> Iterator[Tensor]:
    """Tensors in what a network returns that may be its logits: the one of that name alone, or all in order."""
    if isinstance(answer, Tensor):
        yield answer
        return
    held = answer if isinstance(answer, Mapping) else getattr(answer, "__dict__", {})
    if isinstance(getattr(answer, "logits", None), Tensor):
        yield answer.logits  # type: ignore[attr-defined]
    elif isinstance(held.get("logits"), Tensor):
        yield held["logits"]
    elif isinstance(answer, Sequence) and not isinstance(answer, (str, bytes)):
        for item in answer:
            yield from _tensors(item)
    else:
        yield from (value for value in held.values() if isinstance(value, Tensor))


def check_order(order: Sequence[int], classes: int, at: str) -> None:
    """Raises JobError below the key `at` where the order does not name one output for each class."""
    if len(order) != classes:
        raise JobError(f"{at}.output_order: has {len(order)} outputs; wants one for each of {classes} classes")
