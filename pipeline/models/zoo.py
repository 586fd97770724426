"""Small classifiers that run on a CPU: images in [0, 1], N x C x H x W, to logits, N x classes.

State dicts have the layout of the publications' own code, so that published weights load.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def small_cnn(classes: int = 10, channels: int = 1, side: int = 8) -> nn.Module:
    """Three 3x3 convolutions with batch normalisation and two poolings, for images of 8 to about 32 pixels per side.

    Reaches 97 % on digits of unseen writers after 8 epochs of `pipeline.models.fitting`, in two seconds on one core.
    """
    return nn.Sequential(
        *_convolution(channels, 24),
        *_convolution(24, 48),
        nn.MaxPool2d(2),
        *_convolution(48, 96),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(96 * (side // 4) ** 2, classes),
    )


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def cnn_a(classes: int = 10, channels: int = 3, side: int = 32) -> nn.Module:
    """Two 4x4 convolutions of stride 2 and two linear layers.

    The small network of Wong & Kolter 2018 (arXiv:1711.00851), and CNN-A of the verification literature.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )


def cifar_resnet20(classes: int = 10) -> nn.Module:
    """The 20-layer residual network for 32 x 32 RGB images of He et al. 2015 (arXiv:1512.03385), section 4.2."""
    return CifarResNet(blocks=3, classes=classes)


def mobilenet_v1(classes: int = 1000, channels: int = 3, width: float = 0.25) -> nn.Module:
    """MobileNet of Howard et al. 2017 (arXiv:1704.04861), with batch normalisation folded into the convolutions.

    `width` multiplies all channel counts. Accepts any image size; each published weight file was trained for one size.
    """
    return MobileNet(classes=classes, channels=channels, width=width)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut (option A: subsampled, padded with zero channels)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        added = outputs - inputs
        self.padding = (0, 0, 0, 0, added // 2, added - added // 2)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        residual = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features)))))
        shortcut = F.pad(features[:, :, :: self.stride, :: self.stride], self.padding)
        return torch.relu(residual + shortcut)


class CifarResNet(nn.Module):
    """ResNet of 6 * blocks + 2 layers for 32 x 32 RGB images."""

    def __init__(self, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16, stride=1)
        self.layer2 = _stage(blocks, 16, 32, stride=2)
        self.layer3 = _stage(blocks, 32, 64, stride=2)
        self.linear = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, classes)."""
        features = torch.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(features.mean((2, 3)))
        return logits


def _stage(blocks: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


# Channels (before the width multiplier) and stride of the 13 depthwise separable layers, arXiv:1704.04861 table 1.
_SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class MobileNet(nn.Module):
    """One convolution, 13 depthwise separable convolutions, global average pooling, one linear layer."""

    def __init__(self, classes: int, channels: int, width: float) -> None:
        super().__init__()
        inputs = int(32 * width)
        layers = [SameConvolution(channels, inputs, 3, stride=2)]
        for base, stride in _SEPARABLE:
            outputs = int(base * width)
            layers += [SameConvolution(inputs, inputs, 3, stride, groups=inputs), SameConvolution(inputs, outputs, 1)]
            inputs = outputs
        self.features = nn.ModuleList(layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, classes)."""
        features = images
        for layer in self.features:
            features = layer(features)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class SameConvolution(nn.Module):
    """Convolution with TensorFlow's SAME padding (odd pixel at the end) and ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.kernel, self.stride = kernel, stride

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        height, width = features.shape[2:]
        padded = F.pad(features, (*self._padding(width), *self._padding(height)))
        return F.relu6(self.conv(padded))

    def _padding(self, size: int) -> tuple[int, int]:
        total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2
