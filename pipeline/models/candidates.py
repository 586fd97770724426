"""State dicts inside a checkpoint: wherever a training script put them, under the path of keys that leads there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = Mapping[str, Tensor]
"""Tensors by their name in a module's state dict."""

WHOLE = ""
"""Path of a file that is a state dict itself."""
_DEEPEST = 5
_NOT_NETWORKS = re.compile(r"opt|optim.*|scheduler.*|lr_sched.*|scaler|rng.*|ema_opt.*", re.IGNORECASE)


def candidates(found: object) -> dict[str, State]:
    """State dicts in what a file holds, by path: keys with dots between them, `WHOLE` for the file itself.

    Numbers, texts and the like beside the tensors of a state dict are left out of it. Arrays are tensors where there
    are no others. A list of tensors is a state dict whose names are their places.
    """
    return dict(_walked(found, WHOLE, 0))


def _walked(found: object, path: str, depth: int) -> Iterator[tuple[str, State]]:
    found = _named(found)
    if not isinstance(found, Mapping) or not found or depth > _DEEPEST:
        return
    tensors = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        tensors = {key: array for key, value in found.items() if (array := _from_numpy(key, value)) is not None}
    if len(tensors) * 2 > len(found) and not any(isinstance(value, Mapping) for value in found.values()):
        yield path, tensors
        return
    for key, value in found.items():
        if isinstance(key, str) and not _NOT_NETWORKS.fullmatch(key):
            yield from _walked(value, f"{path}.{key}" if path else key, depth + 1)


def _named(found: object) -> object:
    """What a list or tuple holds, by place."""
    return {str(place): value for place, value in enumerate(found)} if isinstance(found, (list, tuple)) else found


def _from_numpy(key: object, value: object) -> Tensor | None:
    if isinstance(key, str) and isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value)
    return None


def at_key(found: object, key: str) -> Any:
    """What lies at a path of keys, or what all names below a prefix have in common; None where there is nothing.

    The names of a mapping may hold dots themselves, so the longest that fits is taken first.
    """
    found = _named(found)
    if not isinstance(found, Mapping):
        return None
    if key in found:
        return found[key]
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:length])
        if head in found:
            return at_key(found[head], ".".join(parts[length:]))
    prefix = key + "."
    below = {name.removeprefix(prefix): value for name, value in found.items() if str(name).startswith(prefix)}
    return below or None
