"""Which batch normalisations are folded into the convolution before them, one case for each reason not to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hardset.pipeline.attacks.folding import fold_batch_norms


class Pair(nn.Module):
    """A convolution and a normalisation with statistics of its own; subclasses use them in other ways."""

    def __init__(self, normalisation: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3), normalisation or nn.BatchNorm2d(3)
        if getattr(self.second, "running_var", None) is not None:
            nn.init.uniform_(self.second.running_mean, -1, 1)
            nn.init.uniform_(self.second.running_var, 0.5, 2)

    def forward(self, images):
        return self.second(self.first(images))


class UsedTwice(Pair):
    def forward(self, images):
        seen = self.first(images)
        return self.second(seen) + seen


class CalledTwice(Pair):
    def forward(self, images):
        return self.second(self.first(images)) + self.second(self.first(images.flip(3)))


class WeightRead(Pair):
    def forward(self, images):
        return self.second(self.first(images)) + self.first.weight.sum()


class Between(Pair):
    def forward(self, images):
        return self.second(F.relu(self.first(images)))


class First(Pair):
    def forward(self, images):
        return self.second(images.repeat(1, 2, 1, 1)[:, :3]) + self.first(images).sum()


class Branching(Pair):
    def forward(self, images):
        return self.second(self.first(images)) if images.sum() > 0 else images


def hooked(kind: str, part: str) -> nn.Module:
    net = Pair()
    getattr(net.get_submodule(part), f"register_{kind}")(lambda *_: None)
    return net


KEPT = {
    "used twice": UsedTwice,
    "called twice": CalledTwice,
    "weight read": WeightRead,
    "something between": Between,
    "no convolution before": First,
    "cannot be traced": Branching,
    "no statistics": lambda: Pair(nn.BatchNorm2d(3, track_running_stats=False)),
    "another normalisation": lambda: Pair(nn.GroupNorm(3, 3)),
    **{
        f"{kind} of {part}": lambda kind=kind, part=part: hooked(kind, part)
        for kind in ("forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook")
        for part in ("first", "second")
    },
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT)
def test_it_is_kept_where_folding_would_change_something(make):
    net, images = make().eval(), torch.rand(2, 2, 6, 6)
    folded, count = fold_batch_norms(net)
    assert count == 0
    torch.testing.assert_close(folded(images), net(images))


@pytest.mark.parametrize("nested", [False, True])
def test_it_is_folded_where_it_follows_a_convolution_and_nothing_else(nested):
    torch.manual_seed(0)
    net = nn.Sequential(Pair(), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) if nested else Pair()
    net.train()
    folded, count = fold_batch_norms(net)
    assert count == (2 if nested else 1)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert not any(part.training for part in folded.modules() if not isinstance(part, nn.Identity))
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(part.training for part in net.modules()) and all(each.requires_grad for each in net.parameters())
    images = torch.rand(2, 2, 6, 6)
    torch.testing.assert_close(folded(images), net.eval()(images))
