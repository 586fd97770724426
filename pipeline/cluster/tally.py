"""What has happened in a run so far, counted for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Counters only grow; the rest is how things stand."""

    actors: int = 0
    """At work."""
    actors_starting: int = 0
    """Asked for, and not there yet."""
    shards_in_hand: int = 0
    shards_waiting: int = 0
    """To be handed out; retries and suspects are among them."""
    retries: int = 0
    """Tries that came to nothing, probes aside, whoever was to blame."""
    deaths: int = 0
    """Actors that died."""
    nodes_lost: int = 0
    """Actors whose node went away."""
    abandoned: int = 0
    """Actors that were given up because a shard was overdue."""
    probes: int = 0
    bad_rows: int = 0
    """Rows found by probes, which go to quarantine."""
