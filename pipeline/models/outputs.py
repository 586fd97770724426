"""What a network returns, made into one tensor of logits in the order of the source's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hardset.schemas.errors import JobError


class Logits(nn.Module):
    """A network whose answer may hold its logits: `.logits`, `["logits"]`, or the first of a tuple.

    One logit z for two classes becomes [0, z], whose softmax gives the second class the probability sigmoid(z).
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, images: Tensor) -> Tensor:
        """Logits, N x classes."""
        found = logits_of(self.network(images))
        if self.classes == 2 and isinstance(found, Tensor) and found.shape in ((len(images), 1), (len(images),)):
            score = found.reshape(len(images), 1)
            found = torch.cat((torch.zeros_like(score), score), dim=1)
        return found


class Reordered(nn.Module):
    """A network whose outputs stand in another order than the source's classes."""

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network, self.order = network, list(order)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, N x classes, in label order."""
        logits: Tensor = self.network(images)[:, self.order]
        return logits


def logits_of(answer: object) -> Tensor:
    """The tensor of logits in what a network returns; what holds none comes back as it is."""
    if isinstance(answer, Tensor):
        return answer
    if isinstance(getattr(answer, "logits", None), Tensor):
        found: Tensor = answer.logits  # type: ignore[attr-defined]
        return found
    if isinstance(answer, Mapping) and isinstance(answer.get("logits"), Tensor):
        inner: Tensor = answer["logits"]
        return inner
    if isinstance(answer, Sequence) and len(answer) and not isinstance(answer, str):
        return logits_of(answer[0])
    return answer  # type: ignore[return-value]  # preflight tells what it is


def check_order(order: Sequence[int], classes: int, at: str) -> None:
    """Raises JobError below the key `at` where the order does not name one output for each class."""
    if len(order) != classes:
        raise JobError(f"{at}.output_order: has {len(order)} outputs; wants one for each of {classes} classes")
