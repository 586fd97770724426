"""torchvision beside a CPU build of torch: its Python parts, which classifiers need, without its compiled operators."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

import torch

Imported = TypeVar("Imported")

_DECLARED: list[torch.library.Library] = []
"""Operators that were declared here, which last as long as these objects."""
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_MOST = 8


def with_torchvision(imported: Callable[[], Imported]) -> Imported:
    """What a function imports, again with `make_importable` where that fails because of torchvision's operators."""
    try:
        return imported()
    except ImportError as error:
        if not _MISSING.search(str(error)):
            raise
    make_importable()
    return imported()


def make_importable() -> None:
    """Lets torchvision be imported where the package index's wheel, which is built for CUDA, stands beside a CPU torch.

    Its compiled operators cannot be loaded there, and then the import fails at the first description of one that torch
    does not know. Declaring those is enough for the networks and layers written in Python; operators of detection still
    fail when they are called. Does nothing where torchvision is missing or sound.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is None:
        return
    while True:
        try:
            import_module("torchvision")
        except RuntimeError as error:
            missing = _MISSING.search(str(error))
            if missing is None or len(_DECLARED) == _MOST:
                raise
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(  # type: ignore[no-untyped-call]
                f"{missing[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
            _DECLARED.append(library)
        else:
            return
