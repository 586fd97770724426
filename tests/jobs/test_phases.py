"""Phases without progress say what they are at where they last, and nothing where they do not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardset.jobs.api.generation import generate
from hardset.jobs.terminal import phases as module
from hardset.jobs.terminal.phases import phases


class Heard:
    """A voice that remembers, and wakes who waits for so many lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = threading.Semaphore(0)

    def say(self, text: str, event: str, **fields: Any) -> None:
        assert event == "phase"
        assert text.startswith(f"{fields['phase']}: ")
        self.lines.append(fields["phase"])
        self._more.release()

    def wait(self) -> None:
        assert self._more.acquire(timeout=30)


def test_a_long_phase_is_told_again_and_again_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    heard = Heard()
    with phases(heard) as phase:  # type: ignore[arg-type]
        phase("reading")
        heard.wait()
        heard.wait()
        phase("training")
        while heard.lines[-1] != "training":
            heard.wait()
    assert heard.lines[:2] == ["reading", "reading"]
    assert sorted(set(heard.lines)) == ["reading", "training"]
    told = len(heard.lines)
    assert threading.active_count() == len(threading.enumerate())
    assert not [thread for thread in threading.enumerate() if thread.name == "phases"]
    assert len(heard.lines) == told


def test_short_phases_and_silence_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    with phases(heard) as phase:  # type: ignore[arg-type]
        for number in range(100):
            phase(f"phase {number}")
        phase.silent()
    assert heard.lines == []


def test_a_run_tells_its_phases_in_order(write_job: Callable[..., Path]) -> None:
    told: list[str] = []
    run = {"actors": 0}
    augment = [{"kind": "augment", "ops": [{"name": "hflip"}]}]
    done = generate(write_job(run=run, recipes=augment), phase=told.append)
    assert done.status == "complete"
    assert told == ["reading the source", "loading and trying the models", "preparing shards"]
