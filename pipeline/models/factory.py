"""Builds torch modules from an import path, `package.module:function`, and its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from hardset.pipeline.extensions.imports import by_path
from hardset.pipeline.models.vision import with_torchvision
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Network

_SEED = 0
"""Seed of torch while a factory runs, so that its initial weights are the same in every process."""


def build(spec: Network, *, at: str = "model") -> nn.Module:
    """Builds the factory's module on the CPU with a fixed seed; torch's global generator is left unchanged.

    `at`: the network's key in the job, for error messages. Raises JobError if the factory cannot be imported, does not
    exist, refuses its arguments or returns anything but a module.
    """
    assert spec.factory is not None
    factory = _imported(spec.factory, at)
    try:
        inspect.signature(factory).bind(**spec.arguments)
    except TypeError as error:
        raise JobError(
            f"{at}.factory: {spec.factory} does not take {at}.arguments as given: {one_line(error)}; it takes "
            f"{inspect.signature(factory)}"
        ) from None
    except ValueError:  # some builtins have no signature
        pass
    try:
        with fixed_generator():
            module = factory(**spec.arguments)
    except Exception as error:  # the factory is the user's code
        raise JobError(
            f"{at}.factory: {spec.factory} failed: {type(error).__name__}: {one_line(error)}; check {at}.arguments"
        ) from error
    if not isinstance(module, nn.Module):
        raise JobError(
            f"{at}.factory: {spec.factory} returned a {type(module).__name__}; wants a function that returns a "
            "torch.nn.Module"
        )
    return module


@contextmanager
def fixed_generator() -> Iterator[None]:
    """Lets torch's global generator start from a fixed state, and puts it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        yield


def _imported(path: str, at: str) -> Callable[..., Any]:
    try:
        found = with_torchvision(lambda: by_path(path))
    except (ImportError, AttributeError) as error:
        raise JobError(f"{at}.factory: {error}") from error
    if not callable(found):
        raise JobError(f"{at}.factory: {path} is a {type(found).__name__}; wants a function that returns a module")
    return found  # type: ignore[no-any-return]
