"""What the textbook loops share: one row, plain formulas, and the engine's own passes to hold beside them.

A loop takes each step from where the engine was, with the loss and gradient that the engine saw there, so that rounding
errors cannot add up until a sign turns: what is compared is one step at a time. Loss and gradient themselves are
compared with the test's own at every pass.

The engine asks the model about the 8-bit rounding of its iterate and moves the float iterate along the gradient there
(docs/architecture.md, "The search runs on the grid"). `stored_linf` is that rounding; searches off the grid ask at the
iterate itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.schedules import Memory, Schedule
from hardset.pipeline.attacks.search import Search, SearchRows
from tests.attacks.nets import CPU, frozen, images, predictions, seeds

CLOSE = {"rtol": 0, "atol": 1e-6}
"""Of images: a step is a handful of float32 operations on values up to 1, each off by 6e-8 at most."""


@dataclass(frozen=True)
class Seen:
    """One pass of the engine."""

    images: Tensor
    """Iterates before the step, (N, C, H, W)."""
    loss: Tensor
    gradient: Tensor
    met: Tensor
    memory: Memory
    """What the schedule remembers after the step."""


class Recorded(Schedule):
    """Another schedule, with every pass written down. All rows are at the same step where none stops early."""

    def __init__(self, inner: Schedule) -> None:
        self.inner, self.seen = inner, []
        self.needs_gradient, self.minimal = inner.needs_gradient, inner.minimal

    def begin(self, start):
        return self.inner.begin(start)

    def probe(self, images, step_size, memory):
        return self.inner.probe(images, step_size, memory)

    def advance(self, seen, memory, geometry, steps):
        after = self.inner.advance(seen, memory, geometry, steps)
        kept = {key: values.clone() for key, values in after[1].items()}
        found = (values.clone() for values in (seen.images, seen.loss, seen.gradient, seen.met))
        self.seen.append(Seen(*found, kept))
        return after


def small_net(*, channels: int = 1, classes: int = 6, side: int = 6, seed: int = 0, gain: float = 1.0) -> nn.Module:
    """A bent classifier whose logits differ by a few units times `gain`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(channels, 6, 3, 1, 1), nn.Tanh(), nn.Conv2d(6, 6, 3, 2, 1), nn.Tanh(), nn.Flatten(),
            nn.Linear(6 * (-(-side // 2)) ** 2, classes),
        )  # fmt: skip
    with torch.no_grad():
        net[0].weight.mul_(3)
        net[-1].weight.mul_(6 * gain)
    return frozen(net)


def work_of(
    net: nn.Module, geometry, eps: float, step: float, *, count=3, channels=1, side=6, seed=0, started=True
) -> SearchRows:
    """Rows of a small set with the net's own labels, the next class for a target, and a start in the ball."""
    pixels = images(count, channels=channels, side=side, seed=seed)
    labels = torch.from_numpy(predictions(net, pixels))
    every, keys = np.full(count, eps), torch.from_numpy(seeds(count))
    stored = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    radius = torch.from_numpy(geometry.radius(every)).float()
    start = geometry.start(stored.float() / 255, radius, keys, torch.zeros(count, dtype=torch.int64))
    return SearchRows(
        pixels=stored,
        labels=labels,
        targets=((labels + 1) % 6)[:, None],
        seeds=keys,
        radius=geometry.radius(every),
        budget=geometry.budget(every),
        step_size=np.full(count, step),
        start=start if started else None,
    )


def engine_passes(net: nn.Module, search: Search, work: SearchRows) -> list[Seen]:
    """Every pass of the engine over rows that fill its batch."""
    schedule = Recorded(search.schedule)
    changed = Search(**{**search.__dict__, "schedule": schedule})
    Engine(net, len(work), CPU).run(changed, work)
    return schedule.seen


def stored_linf(image: Tensor, clean: Tensor, levels: int) -> Tensor:
    """The nearest 8-bit image within so many levels of the clean one."""
    lowest, highest = (clean * 255 - levels).clamp(min=0), (clean * 255 + levels).clamp(max=255)
    return (image * 255).round().clamp(lowest.round(), highest.round()) / 255


def project_linf(image: Tensor, clean: Tensor, radius: float) -> Tensor:
    return image.clamp(clean - radius, clean + radius).clamp(0, 1)


def project_l2(image: Tensor, clean: Tensor, radius: float) -> Tensor:
    length = float((image - clean).norm())
    return (clean + (image - clean) * min(1.0, radius / length if length else 1.0)).clamp(0, 1)


def project_l1(image: Tensor, clean: Tensor, radius: float) -> Tensor:
    """The nearest point of ball and box: every change shrunk by one threshold, found by halving in float64."""
    change, bottom, top = (image - clean).double(), -clean.double(), 1 - clean.double()

    def shrunk(threshold: float) -> Tensor:
        return (change.sign() * (change.abs() - threshold).clamp(min=0)).clamp(bottom, top)

    low, high = 0.0, float(change.abs().max())
    if float(shrunk(low).abs().sum()) <= radius:
        high = low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if float(shrunk(middle).abs().sum()) > radius else (low, middle)
    return clean + shrunk(high).float()


def others(logits: Tensor, label: int) -> Tensor:
    """The logits but that of the label."""
    return torch.cat((logits[:label], logits[label + 1 :]))


def assert_asked(found: Seen, row: int, net: nn.Module, loss: Callable[[Tensor], Tensor], point: Tensor) -> None:
    """Whether a pass's loss and gradient are those of the row's logits at the point."""
    point = point.detach().requires_grad_(True)
    value = loss(net(point[None])[0]).squeeze()
    (gradient,) = torch.autograd.grad(value, point)
    # A batch of one adds up in another order than one of several, and a ratio of differences of logits takes three of
    # float32's seven digits. Another formula is off by far more.
    size = float(gradient.abs().max())
    torch.testing.assert_close(found.gradient[row], gradient, rtol=1e-3, atol=1e-4 * size)
    torch.testing.assert_close(found.loss[row], value.detach(), rtol=1e-4, atol=1e-5)
