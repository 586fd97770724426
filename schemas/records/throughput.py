"""Throughput of a run and the stage that limited it: seconds per stage of a shard, and their summary over a run."""

from __future__ import annotations

from typing import Literal

from hardset.schemas.base import Record, Spec


class StageSeconds(Record):
    """Wall-clock seconds that a shard spent in each stage of its worker.

    Each stage holds one shard at a time, so the sum over a worker's shards is the busy time of the stage.
    """

    read: float = 0
    """Reading and decoding the clean rows."""
    device: float = 0
    """Making the rows, and computing the judge's logits."""
    encode: float = 0
    """PNG and Parquet encoding, and reading both back."""
    write: float = 0
    """Publishing the files, up to the receipt."""
    waiting: float = 0
    """Waiting for stages that held another shard."""


class Busy(Spec):
    """Share of a period, in [0, 1], during which each stage held a shard."""

    read: float
    device: float
    encode: float
    write: float


class ActorThroughput(Spec):
    """Throughput of one actor between its first shard and its last."""

    actor: str
    """Host and process id of the actor."""
    shards: int
    rows: int
    """Number of rows stored."""
    seconds: float
    busy: Busy


class Throughput(Spec):
    """Throughput of a run, and how its actors spent the time."""

    rows: int
    """Number of rows stored."""
    seconds: float
    """Seconds from the start of the first shard to the end of the last, over all actors."""
    rows_per_s: float
    busy: Busy
    """Busy shares of the stages, mean over the actors weighted by their seconds."""
    bound: Literal["source", "device", "sink", "nothing"]
    """Stage that limited the run: reading, the device, or the longer of encoding and writing. nothing: no stage was
    busy half of the time, for example with hardly more shards than actors."""
    actors: tuple[ActorThroughput, ...]
