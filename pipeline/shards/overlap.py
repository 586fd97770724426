"""Overlap of one worker's shards: each stage holds one of them, and all stages work at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Literal, get_args

from hardset.schemas.records.throughput import StageSeconds

StageName = Literal["read", "device", "encode", "write"]
"""Stages in the order in which a shard walks through them."""


class Stages:
    """One lock per stage. Threads that each take a shard through the stages overlap without queues.

    While one shard is on the device, another is read and a third encoded or written. Memory is bounded by the number
    of threads, and what a single stage uses needs no lock of its own.
    """

    def __init__(self) -> None:
        self._locks = {name: Lock() for name in get_args(StageName)}

    def walk(self) -> Walk:
        """Walk of one shard through the stages."""
        return Walk(self._locks)


class Walk:
    """One shard on its way through the stages, and its clock."""

    def __init__(self, locks: Mapping[StageName, Lock]) -> None:
        self._locks = locks
        self._spent = dict.fromkeys(StageSeconds.model_fields, 0.0)
        self._inside: tuple[StageName, float] | None = None

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        """Enters a stage once no other shard is in it, and leaves it at the end of the block."""
        asked = time.perf_counter()
        with self._locks[name]:
            entered = time.perf_counter()
            self._spent["waiting"] += entered - asked
            self._inside = name, entered
            try:
                yield
            finally:
                self._inside = None
                self._spent[name] += time.perf_counter() - entered

    def seconds(self) -> StageSeconds:
        """Seconds spent in each stage so far; the stage that the shard is in counts up to this moment."""
        spent = dict(self._spent)
        if self._inside is not None:
            name, entered = self._inside
            spent[name] += time.perf_counter() - entered
        return StageSeconds(**{name: round(seconds, 4) for name, seconds in spent.items()})
