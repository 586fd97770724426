"""Throughput of a run and the stage that bound it, from the stage seconds of its receipts, added up by actor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from hardset.schemas.records.run import Receipt
from hardset.schemas.records.throughput import ActorThroughput, Busy, Throughput

Bound = Literal["source", "device", "sink", "nothing"]

_BUSY = 0.5
"""Busy share, in [0, 1], from which on a stage is said to bind the run."""
_REMEDIES = {
    "source": "Faster rows: put the source nearer to the actors, store smaller images, or raise run.actors.",
    "device": "Faster rows: raise run.actors, or give each a faster device.",
    "sink": "Faster rows: use output.png_level 0, put the output nearer to the actors, or raise run.actors.",
    "nothing": "Actors waited for shards: make shards smaller (output.shard_rows).",
}


class Meter:
    """Adds receipts up. Its memory grows with the number of actors, and not with that of shards."""

    def __init__(self, receipts: Iterable[Receipt] = ()) -> None:
        self._actors: dict[str, _Actor] = {}
        for receipt in receipts:
            self.add(receipt)

    def add(self, receipt: Receipt) -> None:
        """Counts a shard; one of a version that measured nothing is passed over."""
        if receipt.seconds is not None:
            name = f"{receipt.host}:{receipt.process}"
            self._actors.setdefault(name, _Actor(name)).add(receipt)

    def throughput(self) -> Throughput | None:
        """Throughput so far; None while no shard was counted."""
        if not self._actors:
            return None
        actors = sorted(self._actors.values(), key=lambda actor: actor.name)
        seconds = max(actor.end for actor in actors) - min(actor.start for actor in actors)
        rows = sum(actor.rows for actor in actors)
        whole = sum(actor.seconds for actor in actors)
        busy = Busy(
            **{
                stage: round(min(1.0, sum(actor.spent[stage] for actor in actors) / max(whole, 1e-9)), 4)
                for stage in Busy.model_fields
            }
        )
        return Throughput(
            rows=rows,
            seconds=round(seconds, 3),
            rows_per_s=round(rows / max(seconds, 1e-3), 3),
            busy=busy,
            bound=_bound(busy),
            actors=tuple(actor.record() for actor in actors),
        )


@dataclass
class _Actor:
    """One actor's shards so far. Times are seconds since 1970, by its own clock."""

    name: str
    shards: int = 0
    rows: int = 0
    start: float = float("inf")
    end: float = 0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(Busy.model_fields, 0.0))

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def add(self, receipt: Receipt) -> None:
        assert receipt.seconds is not None
        spent = receipt.seconds.model_dump()
        start = datetime.fromisoformat(receipt.started).timestamp()
        self.start, self.end = min(self.start, start), max(self.end, start + sum(spent.values()))
        self.shards, self.rows = self.shards + 1, self.rows + receipt.counts.rows_out
        for stage in self.spent:
            self.spent[stage] += spent[stage]

    def record(self) -> ActorThroughput:
        # Moments are rounded to milliseconds, so that a share could come out a little above 1.
        busy = {stage: round(min(1.0, spent / max(self.seconds, 1e-9)), 4) for stage, spent in self.spent.items()}
        return ActorThroughput(
            actor=self.name,
            shards=self.shards,
            rows=self.rows,
            seconds=round(self.seconds, 3),
            busy=Busy(**busy),
        )


def _bound(busy: Busy) -> Bound:
    shares = shares_of(busy)
    most = max(shares, key=lambda name: shares[name])
    return most if shares[most] >= _BUSY else "nothing"


def shares_of(busy: Busy) -> dict[Bound, float]:
    """Busy shares of source, device and sink; the sink is as busy as the busier of its two stages."""
    return {"source": busy.read, "device": busy.device, "sink": max(busy.encode, busy.write)}


def bound_sentence(found: Throughput) -> str:
    """Sentence: rows per second, the bottleneck with the busy share of each part, and what to do about it."""
    shares = shares_of(found.busy)
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    bound = "nothing in particular" if found.bound == "nothing" else f"the {found.bound}"
    return f"{found.rows_per_s:,.1f} rows/s, bound by {bound} (busy: {told}). {_REMEDIES[found.bound]}"


def throughput_record(found: Throughput | None) -> dict[str, Any] | None:
    """Throughput as plain JSON values; the single actors are in the manifest."""
    return None if found is None else {**found.model_dump(exclude={"actors"}), "told": bound_sentence(found)}
