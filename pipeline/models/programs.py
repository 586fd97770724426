"""Networks that are programs of torch: TorchScript and exported ones, which run when they are loaded."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hardset.pipeline.models.saved import SavedNetwork
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError, one_line


class Exported(nn.Module):
    """An exported program, which knows neither train() nor eval(): what it was exported as is what it is."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self._held = [program]  # in a list, so that eval() does not reach it

    def forward(self, images: Tensor, *others: Tensor) -> Any:
        """What the program returns for images N x C x H x W, or for whatever goes into it."""
        return self._held[0](images, *others)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Exported:
        self._held[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def load_torchscript(data: bytes, url: str, at: str) -> SavedNetwork:
    """The module that torch.jit.save wrote. Raises JobError where it cannot be loaded."""
    load: Callable[..., nn.Module] = torch.jit.load
    return SavedNetwork(_loaded(data, url, at, lambda file: load(file, map_location="cpu")))


def load_export(data: bytes, url: str, at: str) -> SavedNetwork:
    """The program that torch.export.save wrote. Raises JobError where it cannot be loaded."""
    return SavedNetwork(Exported(_loaded(data, url, at, lambda file: torch.export.load(file).module())))


def _loaded(data: bytes, url: str, at: str, load: Callable[[io.BytesIO], Any]) -> Any:
    try:
        return load(io.BytesIO(data))
    except Exception as error:  # damaged files and other versions raise whatever they raise
        raise JobError(
            f"{at}.weights: {public_name(url)}: torch cannot load it: {type(error).__name__}: {one_line(error)}; wrong "
            "format, or written by another version of torch"
        ) from error
