"""A network as its file holds it, with what the file says of its input and classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType

from torch import nn

from hardset.pipeline.models.feeding import Interpolation
from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Input, Normalize


@dataclass(frozen=True)
class SavedNetwork:
    """A network that was read from a file."""

    network: nn.Module
    """Images N x C x H x W to logits, or an object that holds them."""
    normalize: Normalize | None = None
    """Normalisation that the file names; the job's own goes before it."""
    input: Input | None = None
    """Range of the input that the file names; the job's own goes before it."""
    size: tuple[int, int] | None = None
    """Height and width that the file has images brought to; None: any."""
    interpolation: Interpolation = "bilinear"
    """How images are brought to that size."""
    told: tuple[str, ...] = ()
    """What is said of how it was loaded."""
    class_names: tuple[str, ...] | None = None
    """Names of the outputs; None where the file has none."""

    def with_network(self, network: nn.Module) -> SavedNetwork:
        """The same with another copy of the network."""
        return replace(self, network=network)


def extra(module: str, name: str, at: str) -> ModuleType:
    """A module of an optional package. Raises JobError with what to install; `name`: that of the extra."""
    try:
        return import_module(module)
    except ImportError as error:
        raise JobError(
            f"{at}.format: {name} needs a package that is not installed ({error.name}): pip install 'hardset[{name}]'"
        ) from error
