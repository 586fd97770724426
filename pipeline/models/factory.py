"""Modules by import path: `package.module:function` and its arguments to a torch module."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from schemas import job
from schemas.errors import JobError

_SEED = 0
"""A factory's own weights come from here, so that they are the same in every process."""


def build(spec: job.Network, *, at: str = "model") -> nn.Module:
    """The module that the job's factory returns, built on the CPU with a fixed seed; the global one is left alone.

    `at`: the job's key of the network, which errors name. Raises JobError where the factory cannot be imported, does
    not exist, refuses its arguments or returns something else.
    """
    factory = _imported(spec.factory, at)
    try:
        inspect.signature(factory).bind(**spec.arguments)
    except TypeError as error:
        raise JobError(
            f"{at}.factory: {spec.factory} does not take {at}.arguments as given: {_line(error)}; it takes "
            f"{inspect.signature(factory)}"
        ) from None
    except ValueError:  # some builtins have no signature
        pass
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            module = factory(**spec.arguments)
    except Exception as error:  # the factory is the user's code
        raise JobError(
            f"{at}.factory: {spec.factory} failed: {type(error).__name__}: {_line(error)}; check {at}.arguments"
        ) from error
    if not isinstance(module, nn.Module):
        raise JobError(
            f"{at}.factory: {spec.factory} returned a {type(module).__name__}; wants a function that returns a "
            "torch.nn.Module"
        )
    return module


def _imported(path: str, at: str) -> Callable[..., Any]:
    module_name, _, attributes = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code
        raise JobError(
            f"{at}.factory: {module_name} cannot be imported: {type(error).__name__}: {_line(error)}; check the name, "
            "and that it is installed on every machine"
        ) from error
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            near = difflib.get_close_matches(attribute, dir(found), n=1)
            hint = f"did you mean {near[0]}?" if near else "check the name"
            raise JobError(f"{at}.factory: {module_name} has no {attributes}; {hint}") from None
    if not callable(found):
        raise JobError(f"{at}.factory: {path} is a {type(found).__name__}; wants a function that returns a module")
    return found  # type: ignore[no-any-return]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
