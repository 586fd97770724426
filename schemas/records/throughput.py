"""How fast a run was and what bound it: seconds of a shard's stages, and their summary over a run."""

from __future__ import annotations

from typing import Literal

from hardset.schemas.base import Record, Spec


class StageSeconds(Record):
    """What a shard spent in the stages of its worker, in seconds of wall-clock time.

    Each stage holds one shard at a time, so the sum over a worker's shards is the time that the stage was busy.
    """

    read: float = 0
    """Reading and decoding the clean rows."""
    device: float = 0
    """Making the rows, and the logits of the judge."""
    encode: float = 0
    """PNG and Parquet encoding, and reading both back."""
    write: float = 0
    """Publishing the files, up to the receipt."""
    waiting: float = 0
    """For stages that held another shard."""


class Busy(Spec):
    """Share of a stretch of time, 0 to 1, that each stage held a shard."""

    read: float
    device: float
    encode: float
    write: float


class ActorThroughput(Spec):
    """What one actor did between its first shard and its last."""

    actor: str
    """Host and process id."""
    shards: int
    rows: int
    """Rows stored."""
    seconds: float
    busy: Busy


class Throughput(Spec):
    """How fast shards were made, and what their actors spent the time with."""

    rows: int
    """Rows stored."""
    seconds: float
    """From the start of the first shard to the end of the last, over all actors."""
    rows_per_s: float
    busy: Busy
    """Mean over the actors, each weighed by its seconds."""
    bound: Literal["source", "device", "sink", "nothing"]
    """What the actors spent most of the time with: reading, the device, or encoding and writing, whichever of the two
    took longer. nothing: no stage was busy half of the time, as where there are hardly more shards than actors."""
    actors: tuple[ActorThroughput, ...]
