"""Messages of the dispatcher: to actors, from actors, and the counts for whoever watches a run."""

from __future__ import annotations

from dataclasses import dataclass

from hardset.pipeline.shards.reading import BadRow
from hardset.schemas.errors import UserError
from hardset.schemas.records.run import Receipt, Shard, SourceRange


@dataclass(frozen=True)
class Order:
    """A shard to make, or a part of one to try."""

    shard: Shard
    rows: SourceRange | None
    attempt: int
    bad: tuple[BadRow, ...] = ()
    """Rows to leave out."""
    probe: bool = False
    """Whether to try the shard and publish nothing."""


@dataclass(frozen=True)
class Ready:
    """The actor has built all that it needs."""


@dataclass(frozen=True)
class Placed:
    """The actor has its room on the cluster, and builds what it needs."""


@dataclass(frozen=True)
class Passed:
    """A probe went well."""


@dataclass(frozen=True)
class Raised:
    """An exception ended the work; the actor lives on."""

    error_class: str
    message: str
    error: UserError | None = None
    """The exception itself where it is meant for the user. Others may not survive the way to the driver."""
    broken: bool = False
    """Whether the process can make nothing any more: a failed kernel leaves CUDA unusable."""


@dataclass(frozen=True)
class Died:
    """The actor's process is gone, and with it all that it had in hand."""

    message: str
    node_lost: bool = False
    """Whether its node went away (preempted, drained, unreachable), so that no shard can be blamed."""


Result = Placed | Ready | Receipt | Passed | Raised | Died


@dataclass
class Tally:
    """Counts of a run so far. Counters only grow; the rest is how things stand."""

    actors: int = 0
    """Number of actors at work."""
    actors_starting: int = 0
    """Number of actors asked for and not there yet."""
    shards_in_hand: int = 0
    shards_waiting: int = 0
    """Number of shards to be handed out, retries and suspects among them."""
    retries: int = 0
    """Number of failed tries, probes aside, whoever was to blame."""
    deaths: int = 0
    """Number of actors that died."""
    nodes_lost: int = 0
    """Number of actors whose node went away."""
    abandoned: int = 0
    """Number of actors given up because a shard was overdue."""
    probes: int = 0
    bad_rows: int = 0
    """Number of rows found by probes, which go to quarantine."""
