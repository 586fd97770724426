"""Signals: the first asks to stop, the second and a grace period that is over end at once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hardset.jobs.terminal.stopping import stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, speaking
from hardset.pipeline.cluster.deadlines import Stop

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


def test_what_takes_longer_than_the_grace_period_is_interrupted_within_it() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stop_on_signal(VOICE, 1.0) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.78)
        assert stop.expired(), "shards in hand get three quarters of a short grace period"
        time.sleep(10)
    assert time.monotonic() - started < 1.0
