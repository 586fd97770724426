"""Other libraries' PGD on the device, where they are installed or carried."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from benchmarks.gpu.card import installed
from torch import Tensor, nn

PEERS = ("torchattacks", "foolbox")
MISSING = "not installed"


def peer(name: str, module: nn.Module, steps: int, batch: int, images: Tensor) -> Callable[[Tensor], Tensor] | None:
    """PGD Linf 8/255 of a library on `images` (N, C, H, W): labels to its images; None where it is not installed.

    Raises what importing the library raises, for one that is there and broken.
    """
    if installed(name) is None:
        return None
    from benchmarks.attacks.adapters import LIBRARIES  # noqa: PLC0415 (imports pyarrow, which the check can do without)
    from benchmarks.attacks.cases import Settings  # noqa: PLC0415

    settings = Settings("pgd", Fraction(8, 255), Fraction(2, 255), steps=steps, batch=batch)
    attack = LIBRARIES[name].attack(module, settings, 0, tuple(images.shape[1:]))
    if attack is None:
        return None
    return lambda labels: attack(images, labels)
