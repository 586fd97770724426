"""Devices: which one work runs on, and batches in parts that its memory holds."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.schemas.errors import RunError, one_line
from hardset.schemas.job.job import Run

GROW_AFTER = 64
"""Number of batches that must succeed in parts before parts twice as large are tried."""
MOST_PATIENCE = 4096
"""Most batches between two such trials; each failed one, which costs a forward pass, doubles their number."""

_SAYINGS = (
    "out of memory",  # CUDA, ROCm and XPU, also where the driver and not the allocator says so
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",  # cuDNN, after every plan's workspace failed to fit
)


def driver_device(run: Run) -> torch.device:
    """Device on which the driver tries and re-creates rows: a GPU if actors use one and the driver's machine has it."""
    use_gpu = run.gpus_per_actor > 0 and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that a device's memory is used up: by its own error, or as libraries below it put it."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


class Divider:
    """Halves what is run at once whenever memory runs out, and grows again when all has gone well for a while.

    Every kind of work has a size of its own: a forward pass needs less memory than one with a gradient. A batch that
    fits is handed over whole, as if there were no divider. Rows that are run in parts may be rounded otherwise than
    in the whole batch, so whoever stores them must say so: see `smallest_part`.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._smallest: int | None = None

    def run(self, what: str, rows: int, work: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The tensors that `work` gives for all `rows`, joined along their first axis.

        `work` is called with the rows of one part and gives tensors with one entry for each of them; it may be called
        again for rows it was called for. All parts have one size, so that few shapes are compiled and captured: the
        last one starts earlier instead of being smaller. Raises RunError, naming `what`, where one row is too much.
        """
        kind = self._kinds.setdefault(what, _Kind())
        parts: list[tuple[Tensor, ...]] = []
        done = 0
        while done < rows:
            size = min(kind.size or rows, rows)
            start = min(done, rows - size)
            found = self._tried(what, slice(start, start + size), work)
            if found is None:
                kind.shrink(size)
                continue
            parts.append(tuple(tensor[done - start :] for tensor in found) if start < done else found)
            if size < rows:
                self._smallest = min(size, self._smallest or size)
            done = start + size
        kind.went_well(rows)
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def smallest_part(self) -> int | None:
        """Number of rows of the smallest part since the last call; None where every batch was run whole."""
        smallest, self._smallest = self._smallest, None
        return smallest

    def _tried(self, what: str, part: slice, work: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...] | None:
        """Result of `work` for a part; None where memory ran out, which is then given back."""
        try:
            return work(part)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if part.stop - part.start == 1:
                raise RunError(
                    f"{what}: the device's memory does not hold a single row ({one_line(error)}); "
                    "use a smaller model or image size, or a device with more memory that no other process uses"
                ) from error
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            # Outside the handler, whose exception holds the tensors of the failed pass.
            gc.collect()
            torch.cuda.empty_cache()
        return None


@dataclass
class _Kind:
    """Size of parts learnt for one kind of work."""

    size: int | None = None
    """Rows of a part; None: whole batches."""
    batches: int = 0
    """Number of batches that succeeded since the size changed."""
    patience: int = GROW_AFTER
    grown: bool = False
    """Whether the size was reached by growing: then it is on trial until as many batches went well."""

    def shrink(self, failed: int) -> None:
        """Notes that parts of `failed` rows did not fit."""
        if self.grown:
            self.patience = min(2 * self.patience, MOST_PATIENCE) if self.batches < self.patience else GROW_AFTER
        self.size, self.batches, self.grown = failed // 2, 0, False

    def went_well(self, rows: int) -> None:
        """Notes that a batch of `rows` succeeded."""
        self.batches += 1
        if self.size is not None and self.batches >= self.patience:
            self.size = 2 * self.size if 2 * self.size < rows else None
            self.batches, self.grown = 0, True
