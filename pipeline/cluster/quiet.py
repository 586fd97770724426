"""Ray's own lines stay out of the terminal: what matters of them is told in sentences."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from hardset.pipeline.cluster.reaper import LAST_WORDS

LEVEL = "critical"
"""What Ray's Python code may log."""
_STDERR = 2


@contextmanager
def quiet(home: Path | None = None) -> Iterator[None]:
    """Keeps Ray's lines from stdout and stderr while the block runs. `home`: a folder for what goes to stderr.

    Whatever `log_to_driver` and `logging_level` are, Ray 2.60 prints 20 lines of a raylet's log at its death, and its
    C++ code prints errors, which only a redirected descriptor keeps away. That is left as it is where Python's stderr
    writes to it too, as in a notebook.
    """
    own = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = _nothing
    try:
        with warnings.catch_warnings(), _redirected(home):
            warnings.filterwarnings("ignore", module=r"ray\.")
            yield
    finally:
        ray._private.worker.print_to_stdstream = own


@contextmanager
def _redirected(home: Path | None) -> Iterator[None]:
    if not _stderr_is_elsewhere():
        yield
        return
    kept = os.dup(_STDERR)
    try:
        with tempfile.TemporaryFile() if home is None else (home / LAST_WORDS).open("wb") as file:
            os.dup2(file.fileno(), _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


def _stderr_is_elsewhere() -> bool:
    try:
        return sys.stderr.fileno() != _STDERR
    except (OSError, ValueError, AttributeError):  # captured, or none
        return False


def _nothing(*_: Any, **__: Any) -> None:
    pass
