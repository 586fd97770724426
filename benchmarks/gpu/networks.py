"""The networks that speed is measured on, untrained, in plain torch: ResNet-18, ResNet-50 and ViT-S/16."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.attacks.networks import resnet18
from benchmarks.gpu.setting import Setting
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut (He et al. 2016), the stride in the middle one."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        changes = stride != 1 or inputs != outputs
        projection = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(*projection) if changes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Float (N, inputs, H, W) to (N, 4 * inner, H / stride, W / stride)."""
        hidden = F.relu(self.bn1(self.conv1(images)))
        hidden = F.relu(self.bn2(self.conv2(hidden)))
        return F.relu(self.bn3(self.conv3(hidden)) + self.shortcut(images))


class ResNet50(nn.Module):
    """ResNet-50 of He et al. 2016, images in [0, 1] to logits. `width`: channels after the stem, 64 in the paper."""

    def __init__(self, width: int = 64, blocks: tuple[int, ...] = (3, 4, 6, 3), classes: int = 1000) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1)
        layers, channels = [], width
        for stage, count in enumerate(blocks):
            for number in range(count):
                layers.append(Bottleneck(channels, width << stage, 2 if stage and not number else 1))
                channels = 4 * (width << stage)
        self.layers, self.linear = nn.Sequential(*layers), nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float (N, 3, H, W) to (N, classes)."""
        features = self.pool(F.relu(self.bn(self.conv((images - 0.45) / 0.225))))
        logits: Tensor = self.linear(self.layers(features).mean((2, 3)))
        return logits


class EncoderLayer(nn.Module):
    """Attention and a perceptron, each normalised before and added to what came in (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Float (N, T, width) to the same shape."""
        rows, count, width = tokens.shape
        split = self.qkv(self.norm1(tokens)).view(rows, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(rows, count, width)
        tokens = tokens + self.out(seen)
        return tokens + self.narrow(F.gelu(self.wide(self.norm2(tokens))))


class VisionTransformer(nn.Module):
    """ViT-S/16 by default (Dosovitskiy et al. 2021; S as in Touvron et al. 2021), images in [0, 1] to logits."""

    def __init__(
        self, side: int = 224, patch: int = 16, width: int = 384, depth: int = 12, heads: int = 6, classes: int = 1000
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width) * 0.02)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(depth)))
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Float (N, 3, side, side) to (N, classes)."""
        tokens = self.patches((images - 0.5) / 0.5).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.first.expand(len(tokens), -1, -1), tokens), dim=1) + self.places
        logits: Tensor = self.linear(self.norm(self.layers(tokens)[:, 0]))
        return logits


@dataclass(frozen=True)
class Network:
    """One network with the size of its images."""

    name: str
    side: int
    classes: int
    make: Callable[[], nn.Module]

    def module(self, device: torch.device, *, frozen: bool = True) -> nn.Module:
        """Untrained from one seed, in eval mode, on `device`; `frozen`: without parameter gradients."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = self.make().eval()
        return copy.deepcopy(module).requires_grad_(not frozen).to(device)

    def pixels(self, rows: int) -> NDArray[np.uint8]:
        """Smooth random pictures, uint8 (N, H, W, 3): coarse noise made large, as photographs have edges and planes."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(rows, 3, 8, 8, generator=generator)
        large = F.interpolate(coarse, size=(self.side, self.side), mode="bicubic").clamp(0, 1)
        found: NDArray[np.uint8] = (large * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return found

    def gradient_flops(self) -> int:
        """Floating-point operations of a forward pass and the gradient to one image, counted without running them."""
        with torch.device("meta"):
            module = self.make().eval().requires_grad_(False)
            image = torch.rand(1, 3, self.side, self.side).requires_grad_(True)
        with FlopCounterMode(display=False) as counter:
            module(image).sum().backward()
        return int(counter.get_total_flops())


def networks(setting: Setting) -> tuple[Network, ...]:
    """ResNet-50 and ViT-S/16 at 224 px and ResNet-18 at 32 px; in a tiny trial small ones of the same kinds."""
    if setting.tiny:
        return (
            Network("ResNet-50", 32, 10, lambda: ResNet50(8, (1, 1), 10)),
            Network("ResNet-18", 16, 10, lambda: resnet18(width=4)),
            Network("ViT-S/16", 32, 10, lambda: VisionTransformer(32, 8, 32, 2, 2, 10)),
        )
    return (
        Network("ResNet-50", 224, 1000, ResNet50),
        Network("ResNet-18", 32, 10, lambda: resnet18(width=64)),
        Network("ViT-S/16", 224, 1000, VisionTransformer),
    )
