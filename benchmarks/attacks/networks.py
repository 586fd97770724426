"""The residual network used to measure attack speed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, wider, 3, stride, 1, bias=False), nn.BatchNorm2d(wider)
        self.conv2, self.bn2 = nn.Conv2d(wider, wider, 3, 1, 1, bias=False), nn.BatchNorm2d(wider)
        changes = stride != 1 or channels != wider
        projection = (nn.Conv2d(channels, wider, 1, stride, bias=False), nn.BatchNorm2d(wider))
        self.shortcut = nn.Sequential(*projection) if changes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Float (N, channels, H, W) to (N, wider, H / stride, W / stride)."""
        hidden = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(images))


class ResNet18(nn.Module):
    """ResNet-18 with the stem for 32 x 32 images: 3 x 3 of stride 1, no pooling. Images in [0, 1] to logits."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        channels, blocks = width, []
        for stage, stride in enumerate((1, 2, 2, 2)):
            wider = width << stage
            blocks += [Block(channels, wider, stride), Block(wider, wider, 1)]
            channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float (N, 3, H, W) to (N, classes)."""
        return self.linear(self.blocks(F.relu(self.bn(self.conv((images - 0.5) / 0.25)))).mean((2, 3)))


def resnet18(*, width: int = 32, classes: int = 10, seed: int = 0) -> nn.Module:
    """Untrained network in eval mode with torch's defaults: parameters require gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet18(width, classes).eval()
