"""Factories that a job can name: one sound, the others each unfit in its own way."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.models.zoo import small_cnn


class Applied(nn.Module):
    """A network, and a function of its logits and its images."""

    def __init__(self, function: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.network = small_cnn()
        self.function = function

    def forward(self, images: Tensor) -> object:
        return self.function(self.network(images), images)


def probabilities() -> nn.Module:
    return nn.Sequential(small_cnn(), nn.Softmax(dim=1))


def log_probabilities() -> nn.Module:
    return nn.Sequential(small_cnn(), nn.LogSoftmax(dim=1))


def feature_map() -> nn.Module:
    return nn.Conv2d(1, 10, 3)


def one_answer_for_all() -> nn.Module:
    return Applied(lambda logits, images: logits.mean(dim=0, keepdim=True))


def a_tuple() -> nn.Module:
    return Applied(lambda logits, images: (logits, images))


def infinite() -> nn.Module:
    return Applied(lambda logits, images: logits / 0)


def batch_statistics() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), small_cnn())


def centred_on_the_batch() -> nn.Module:
    return Applied(lambda logits, images: logits - 0.01 * logits.mean(dim=0))


def rooted() -> nn.Module:
    """Its slope is infinite at black pixels."""
    return Applied(lambda logits, images: logits + images.sqrt().sum((1, 2, 3))[:, None] * torch.arange(10))


def stuck_in_training() -> nn.Module:
    module = small_cnn()
    module.eval = lambda: module  # type: ignore[method-assign]
    return module


def noisy() -> nn.Module:
    return Applied(lambda logits, images: logits + 0.001 * torch.randn_like(logits))


def always_dropping() -> nn.Module:
    return Applied(lambda logits, images: nn.functional.dropout(logits, 0.5, training=True))


def drawing_with_numpy() -> nn.Module:
    draws = np.random.default_rng()
    return Applied(lambda logits, images: logits + float(draws.normal()))


def twelve_classes() -> nn.Module:
    return small_cnn(classes=12)


def detached() -> nn.Module:
    return Applied(lambda logits, images: logits.detach())


def rounding() -> nn.Module:
    return Applied(lambda logits, images: logits.round())


def without_derivative() -> nn.Module:
    """An operation that autograd cannot go back through."""

    class Forward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, logits: Tensor) -> Tensor:
            return logits.clone()

    return Applied(lambda logits, images: Forward.apply(logits))


def not_finite_backwards() -> nn.Module:
    """The derivative of a square root at 0."""
    return Applied(lambda logits, images: logits + (logits - logits).sqrt())


def out_of_memory() -> nn.Module:
    def fail(logits: Tensor, images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    return Applied(fail)


def never_the_same() -> nn.Module:
    module = small_cnn()
    with torch.no_grad():
        module[0].weight.fill_(np.random.default_rng().normal())  # type: ignore[index, union-attr, operator]
    return module


def half_precision() -> nn.Module:
    return small_cnn().bfloat16()


def masked() -> nn.Module:
    """Minus infinity in a buffer, as attention masks have it."""
    module = small_cnn()
    module.register_buffer("mask", torch.full((2, 2), float("-inf")).triu(1))
    return module


def no_module() -> dict[str, int]:
    return {}


def broken() -> nn.Module:
    raise RuntimeError("no such dataset")


not_callable = 7


def sigmoids() -> nn.Module:
    return Applied(lambda logits, images: torch.sigmoid(logits))


def probabilities_in_bfloat16() -> nn.Module:
    return Applied(lambda logits, images: logits.softmax(1).to(torch.bfloat16))


def squeezing() -> nn.Module:
    """Loses the batch where there is one row."""
    return Applied(lambda logits, images: logits[:, :, None, None].squeeze())


def for_sixteen_rows() -> nn.Module:
    """A graph that was traced for one size of batch."""
    return Applied(lambda logits, images: logits.view(16, 10))


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(small_cnn(), {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-any-return]


def scripted() -> nn.Module:
    return torch.jit.script(small_cnn())  # type: ignore[no-any-return]


class HalfInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn().half()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.half())
        return logits


def half_inside() -> nn.Module:
    return HalfInside()


class TwoArguments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()

    def forward(self, images: Tensor, time: Tensor) -> Tensor:
        logits: Tensor = self.network(images + time)
        return logits


def two_arguments() -> nn.Module:
    return TwoArguments()


def keyword_needed() -> nn.Module:
    class Timed(TwoArguments):
        def forward(self, images: Tensor, *, time: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(images, time)

    return Timed()


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.double())
        return logits


def double_inside() -> nn.Module:
    return Doubled()


class Centring(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()

    def forward(self, images: Tensor) -> Tensor:
        images -= 0.1
        logits: Tensor = self.network(images)
        return logits


def writing_into_its_input() -> nn.Module:
    return Centring()


def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))


def without_values() -> nn.Module:
    with torch.device("meta"):
        return small_cnn()


def on_a_device() -> nn.Module:
    return Applied(lambda logits, images: logits.to("cuda"))


def differentiating() -> nn.Module:
    return Applied(lambda logits, images: logits + torch.autograd.grad(images.sum(), images)[0].sum())


def probabilities_rounded_to_bfloat16() -> nn.Module:
    return Applied(lambda logits, images: logits.softmax(1).to(torch.bfloat16).float())


def percentages() -> nn.Module:
    return Applied(lambda logits, images: logits.softmax(1) * 100)


def numbers_of_classes() -> nn.Module:
    return Applied(lambda logits, images: logits.argmax(1))


def whole_logits() -> nn.Module:
    return Applied(lambda logits, images: (logits * 100).long())


def complex_logits() -> nn.Module:
    return Applied(lambda logits, images: logits + 0j)


def four_axes() -> nn.Module:
    return Applied(lambda logits, images: logits[:, :, None, None])


class Negative(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = small_cnn(channels=channels)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = -self.network(images)
        return logits


def negative(channels: int = 1) -> nn.Module:
    """The smallest output names the class."""
    return Negative(channels)


def under_another_key() -> nn.Module:
    return Applied(lambda logits, images: {"features": images, "out": logits})


def as_an_attribute() -> nn.Module:
    return Applied(lambda logits, images: SimpleNamespace(features=images, prediction=logits))


def features_first() -> nn.Module:
    return Applied(lambda logits, images: (images.flatten(1), [logits]))


def logits_of_twelve_and_ten() -> nn.Module:
    return Applied(lambda logits, images: SimpleNamespace(logits=torch.cat((logits, logits[:, :2]), 1), other=logits))


def one_logit() -> nn.Module:
    return Applied(lambda logits, images: logits[:, 1] - logits[:, 0])


def one_probability() -> nn.Module:
    return Applied(lambda logits, images: (logits[:, 1:2] - logits[:, :1]).sigmoid())


class Demanding(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.network = small_cnn(channels=channels)

    def forward(self, images: Tensor) -> Tensor:
        if bool((images < 0).any() or (images > 1).any()):
            raise ValueError("wants images in [0, 1]")
        logits: Tensor = self.network(images)
        return logits


def demanding(channels: int = 1) -> nn.Module:
    """Refuses images beyond [0, 1]."""
    return Demanding(channels)


class Counted(nn.Module):
    """A network that counts, over all its copies, the images that it is shown, with and without a gradient."""

    climbed = asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.network = small_cnn()

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            Counted.climbed += len(images)
        else:
            Counted.asked += len(images)
        logits: Tensor = self.network(images)
        return logits


def counted() -> nn.Module:
    return Counted()
