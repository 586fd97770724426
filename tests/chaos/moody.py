"""A model factory of the user's own whose network dies inside the recipe.

It dies in the way that a token file names; each token strikes once, whoever renames it first. And it dies of one image,
always. Only shard actors are struck, never a driver or an audit.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import ray
import torch
from torch import Tensor, nn

from hardset.pipeline.models.zoo import small_cnn

PACE = "pace"
"""Name of the file whose content is how many seconds a pass takes longer, so that there is a middle to be struck in."""


STAMP = (255, 0, 255, 0, 0, 255, 0, 255)
"""The first line of pixels of the image that the network dies of."""
POISON = "poison"


def moody_cnn(home: str) -> nn.Module:
    """The small network, which looks for tokens in `home` at every pass."""
    model = small_cnn()

    def meet(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None:
            _strike(Path(home))
            if (inputs[0][:, 0, 0] * 255 == torch.tensor(STAMP)).all(1).any():
                (Path(home) / "struck" / f"{POISON} {os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    model.register_forward_pre_hook(meet)
    return model


def leave_token(home: Path, fault: str, number: int) -> Path:
    """Lays a token out. Once it has struck it lies in `struck` under the same name."""
    token = home / f"{number:04d} {fault}"
    token.touch()
    return token


def struck(home: Path, token: Path) -> bool:
    """Whether a token has struck."""
    return (home / "struck" / token.name).exists()


def poison_deaths(home: Path) -> int:
    """How many workers have died of the image."""
    return len(list((home / "struck").glob(f"{POISON} *")))


def _strike(home: Path) -> None:
    for token in home.glob("[0-9]* *"):
        with suppress(FileNotFoundError):
            token.rename(home / "struck" / token.name)
            WAYS[token.name.partition(" ")[2]]()
    with suppress(FileNotFoundError, ValueError):
        time.sleep(float((home / PACE).read_text()))


def _fail() -> None:
    raise RuntimeError("moody: not now")


def _segfault() -> None:
    ctypes.string_at(0)


WAYS: dict[str, Callable[[], object]] = {
    "out of memory": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "os._exit": lambda: os._exit(7),
    "sys.exit": lambda: sys.exit(7),
    "segfault": _segfault,
    "exception": _fail,
}
"""Faults of the table that strike inside a recipe."""
