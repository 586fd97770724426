"""Types beside tensors that a checkpoint may hold without running code when it is read: NumPy scalars, settings."""

from __future__ import annotations

import argparse
import codecs
import collections
import datetime
import pathlib
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy._core import multiarray


def harmless() -> Iterator[type | Callable[..., Any] | tuple[Any, str]]:
    """Types and functions that torch's restricted unpickler may call besides its own, some under a further name.

    All build values and nothing else: numbers, arrays, records of settings, and text encoded as bytes, which is how
    older pickles hold bytes. Python 3.11's pathlib classes only keep their parts.
    """
    yield from (np.dtype, np.ndarray, codecs.encode, argparse.Namespace, types.SimpleNamespace)
    yield from (collections.Counter, pathlib.PosixPath, pathlib.PurePosixPath)
    yield _mapping, "collections.defaultdict"  # which the unpickler would make, and not fill
    yield from (datetime.datetime, datetime.date, datetime.timedelta, datetime.timezone)
    yield from (int, float, bool, str, list, dict, slice)
    yield from {type(np.dtype(code)) for code in "?bBhHiIlLqQefdg"}
    for name in ("scalar", "_reconstruct"):
        function = getattr(multiarray, name)
        yield function
        yield function, f"numpy.core.multiarray.{name}"  # before NumPy 2


def _mapping(*default: object) -> dict[Any, Any]:
    """A plain mapping in place of one with a default."""
    return {}


def unknown_type(error: Exception) -> str | None:
    """Name of the type that the unpickler refused, as package.module.Type; None where it failed for another reason."""
    found = re.search(r"GLOBAL ([\w.]+) was not an allowed global|Unsupported (?:global|class) ([\w.]+)", str(error))
    return (found[1] or found[2]) if found else None
