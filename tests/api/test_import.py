"""`import hardset`: light, complete, and typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hardset


def test_the_import_loads_nothing_and_knows_every_name() -> None:
    code = (
        "import sys, hardset; before = set(sys.modules); "
        "assert not before & {'torch', 'ray', 'numpy', 'pyarrow', 'pydantic', 'typer', 'cv2'}, before; "
        "assert set(hardset.__all__) <= set(dir(hardset)); "
        "hardset.load_job, hardset.JobError, hardset.__version__; "
        "assert not set(sys.modules) & {'torch', 'ray', 'typer'}, 'load_job loads what it need not'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there_and_no_other() -> None:
    for name in hardset.__all__:
        assert getattr(hardset, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'atack'"):
        hardset.atack  # type: ignore[attr-defined]  # noqa: B018
