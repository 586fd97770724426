"""Signals: the first asks to stop, the second and a grace period that is over end at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardset.jobs.terminal.stopping import stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, speaking
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.undisturbed import undisturbed

with speaking(LogFormat.TEXT) as VOICE:
    pass


def test_a_stop_without_a_deadline_never_expires() -> None:
    stop = Stop()
    assert (stop.is_set(), stop.expired()) == (False, False)
    stop.set()
    assert (stop.is_set(), stop.expired()) == (True, False)


def test_what_is_in_hand_has_until_the_deadline() -> None:
    stop = Stop()
    stop.ask(0.05)
    assert (stop.is_set(), stop.expired()) == (True, False)
    time.sleep(0.06)
    assert stop.expired()


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt), stop_on_signal(VOICE) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set() and not stop.expired()
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal was ignored")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_signal_that_ends_a_process_asks(first: signal.Signals) -> None:
    with stop_on_signal(VOICE) as stop:
        os.kill(os.getpid(), first)
        assert stop.is_set() and not stop.expired()


def test_a_command_that_nohup_started_outlives_its_terminal() -> None:
    own = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal(VOICE) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, own)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where a shell that runs the tests in the background had it ignored."""
    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, own)


@pytest.mark.usefixtures("_interruptible")
def test_a_step_that_no_signal_may_cut_is_finished_first() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("first half")
            os.kill(os.getpid(), signal.SIGINT)
            done.append("second half")
        raise AssertionError("the signal was lost")
    assert done == ["first half", "second half"]


SLOW = """
import time
print("loading", flush=True)
time.sleep(30)
"""


def _entries() -> dict[str, list[str]]:
    scripts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["hardset"].partition(":")
    return {
        "hardset": [sys.executable, "-c", f"from {module} import {function}; {function}()"],
        "python -m hardset": [sys.executable, "-m", "hardset"],
    }


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("entry", _entries())
def test_an_interruption_while_libraries_load_is_no_traceback(entry: str, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    process = subprocess.Popen(
        [*_entries()[entry], "--version"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 130


INTERRUPTED = """
import os, signal, sys, time
from hardset.jobs import app

def swallowing(arguments, **settings):
    print("ready", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if sys.argv[1] == "raises":
                raise
            if sys.argv[1] == "becomes another":
                raise RuntimeError("Query interrupted")
            if sys.argv[1] == "is lost for a while":
                return 0

app.app = swallowing
app.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("how", "times"), [("raises", 1), ("becomes another", 1), ("is lost for a while", 1), ("is lost", 2)]
)
def test_whatever_becomes_of_the_interruption_the_command_ends_with_4(
    how: str, times: int, number: signal.Signals
) -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.2)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (4, b"")
    assert b"Traceback" not in err
    assert times == 2 or b"stopped at once" in err


def test_what_takes_longer_than_the_grace_period_is_interrupted_within_it() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stop_on_signal(VOICE, 1.0) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.78)
        assert stop.expired(), "shards in hand get three quarters of a short grace period"
        time.sleep(10)
    assert time.monotonic() - started < 1.0
