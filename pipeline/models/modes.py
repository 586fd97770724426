"""Freezes a model while it is attacked: eval mode, and no parameter gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Yields `module` with every submodule in eval mode and no parameter that requires a gradient.

    Each submodule's `training` and each parameter's `requires_grad` are restored afterwards, also after an exception:
    a batch normalisation that was frozen inside a training network stays frozen. The flags are set one by one because
    `train()` and `eval()` reach all submodules, and some networks override them.
    """
    modes = [(part, part.training) for part in module.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        for part, _ in modes:
            part.training = False
        for parameter, wanted in gradients:
            if wanted:
                parameter.requires_grad_(False)
        yield module
    finally:
        for part, training in modes:
            part.training = training
        for parameter, wanted in gradients:
            if wanted:
                parameter.requires_grad_(True)
