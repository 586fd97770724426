"""Values between host and device, with as few waits for the device as there can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sent(values: Tensor | NDArray[Any] | Sequence[int], device: torch.device) -> Tensor:
    """Host values as a tensor on `device`; the host does not wait for the copy.

    Plain memory is copied to a CUDA device only once all work on it is done, pinned memory in its turn.
    """
    here = torch.as_tensor(values)
    if device.type != "cuda":
        return here.to(device)
    return here.pin_memory().to(device, non_blocking=True)


def fetched(*columns: Tensor) -> NDArray[np.float64]:
    """Columns (N,) of up to 53 bits, on the host as (columns, N): one wait for the device, however many there are."""
    return torch.stack([column.double() for column in columns]).cpu().numpy()
