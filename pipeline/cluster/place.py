"""Where the actors of a run are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterPlace:
    """Place of a Ray cluster that exists, or is to be started."""

    address: str | None = None
    """Address of a cluster; None: one is started inside this machine."""
    metrics_port: int | None = None
    """Where that one tells Prometheus its metrics; None: at any free port. A cluster has its own."""
