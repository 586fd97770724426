"""Questions asked in a copy of the process: what they find, raise, and what becomes of copies that never answer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hardset.pipeline.run.apart import ApartError, apart
from hardset.schemas.errors import JobError

Ends = Callable[[], object]


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def pipes() -> set[str]:
    """The pipes that this process holds open; other threads of a test process may open files meanwhile."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own descriptor, or one that another thread closed
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("pipe:")}


@pytest.fixture(autouse=True)
def _leaves_nothing():
    before, held = children(), pipes()
    yield
    assert children() == before
    assert pipes() <= held


def test_it_finds_what_is_found_here_also_after_the_threads_of_torch_have_worked() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        one = torch.rand(400, 400, generator=torch.Generator().manual_seed(0))
        here = one @ one
        found, process = apart(lambda: (one @ one, os.getpid()), seconds=60)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found, here)
    assert process != os.getpid()


def test_what_a_user_should_read_is_raised_here() -> None:
    def refuse() -> None:
        raise JobError("model.weights: wants another file")

    with pytest.raises(JobError, match=r"^model.weights: wants another file$"):
        apart(refuse, seconds=60)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        pytest.param(lambda: os._exit(9), "ended its process", id="exit"),
        pytest.param(lambda: os.kill(os.getpid(), 9), "ended its process", id="signal"),
        pytest.param(lambda: 1 / 0, "ended its process with ZeroDivisionError: division by zero", id="error"),
        pytest.param(lambda: lambda: 0, "ended its process", id="an answer that cannot be sent"),
        pytest.param(lambda: time.sleep(999), "took longer than 0 s", id="sleep"),
        pytest.param(lambda: os.kill(os.getpid(), 19), "took longer than 0 s", id="stopped"),
    ],
)
def test_a_copy_that_never_answers_is_told_and_gone(end: Ends, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ApartError, match=told):
        apart(end, seconds=0.3)
    capfd.readouterr()


SLEEPS = """
import os, time
from hardset.pipeline.run.apart import apart

def sleep():
    print(os.getpid(), flush=True)
    time.sleep(999)

apart(sleep, seconds=999)
"""


def test_a_copy_leaves_signals_to_its_process_and_does_not_outlive_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        copy = Path(f"/proc/{int(process.stdout.readline())}")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(int(copy.name), number)
        time.sleep(0.3)
        assert process.poll() is None and copy.exists()
        process.kill()
    deadline = time.monotonic() + 20
    while copy.exists() and "(zombie)" not in (copy / "status").read_text():
        assert time.monotonic() < deadline, "the copy outlives its process"
        time.sleep(0.05)
