"""One mutant against its tests: in a copy of a commit, in a process forked from one that has the libraries loaded."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import Phase, settings

CHECKOUT = Path(__file__).resolve().parents[2]

_LIBRARIES = (
    "torch", "torch.fx", "torch.distributed.nn", "kornia", "ray.dag", "pyarrow.parquet", "pandas", "fsspec", "pydantic",
    "yaml", "typer", "rich.markdown", "PIL.Image", "safetensors.torch", "hypothesis", "scipy.stats",
)  # fmt: skip
_FLAGS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "--timeout=60")
_WALL = 5  # seconds of the clock for each of a processor: other processes may be at work

Outcome = Literal["killed", "survived", "timed out"]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    outcome: Outcome
    by: str
    """The first test that failed; empty where none did."""
    seconds: float


def load_libraries() -> None:
    """Loads what all tests need, so that forked processes find it loaded. hardset itself is left to them."""
    for name in _LIBRARIES:
        importlib.import_module(name)


@contextmanager
def copied(checkout: Path, commit: str) -> Iterator[Path]:
    """A folder with the files of a commit."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=checkout, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(folder, filter="tar")
        yield Path(folder)


@contextmanager
def changed(file: Path, source: str) -> Iterator[None]:
    """The file with another content for a while."""
    before = file.read_text(encoding="utf-8")
    file.write_text(source, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def tried(tree: Path, tests: list[str], without: str, limit: int, *, bytecode: bool = False) -> Verdict:
    """Runs tests of a tree until the first fails, for `limit` seconds of processor time at most.

    `bytecode`: whether it is written. It is not for a mutant, which it might outlive.
    """
    context, started = multiprocessing.get_context("fork"), time.monotonic()
    heard, told = context.Pipe(duplex=False)
    process = context.Process(target=_tested, args=(tree, tests, without, limit, bytecode, told))
    process.start()
    told.close()
    process.join(_WALL * limit)
    late = process.is_alive()
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    seconds = round(time.monotonic() - started, 1)
    if late or process.exitcode == -signal.SIGXCPU:
        return Verdict("timed out", "", seconds)
    if process.exitcode == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"no test in {tests}")
    if not process.exitcode:
        return Verdict("survived", "", seconds)
    by, hung = "while tests were collected", False
    with suppress(EOFError):
        by, hung = heard.recv() if heard.poll() else (by, hung)
    return Verdict("timed out" if hung else "killed", by, seconds)


class _FirstFailure:
    """Tells which test failed, and whether it did because it took too long."""

    def __init__(self, told: Connection) -> None:
        self._told = told

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._told.send((report.nodeid, "Timeout (>" in str(report.longrepr)))


def _tested(tree: Path, tests: list[str], without: str, limit: int, bytecode: bool, told: Connection) -> None:
    """In the forked process: pytest, with the tree's own packages alone to import."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    os.chdir(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("hardset", "benchmarks", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(tree / "src"), str(tree), *(path for path in sys.path if path not in ("", str(CHECKOUT)))]
    os.environ["PYTHONPATH"] = str(tree / "src")
    sys.dont_write_bytecode = not bytecode
    # Nothing is made smaller: that a test fails is enough.
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
    choice = ("-k", f"not ({without})") if without else ()
    code = pytest.main([*_FLAGS, "--hypothesis-profile=mutants", *choice, *tests], plugins=[_FirstFailure(told)])
    os._exit(int(code))
