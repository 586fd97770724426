"""Counts of rows that fool held-out models, as receipts and manifests hold them."""

from __future__ import annotations

from collections.abc import Mapping

COUNTED, FOOLED = "transfer_counted", "transfer_fooled"
"""First parts of keys of `Counts.signals`; a held-out model's name follows after a colon."""


def transfer_rates(signals: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Numbers of (fooled, counted) rows by held-out model, from the summed signals of shards."""
    counted = {key.partition(":")[2]: rows for key, rows in signals.items() if key.startswith(f"{COUNTED}:")}
    return {name: (signals.get(f"{FOOLED}:{name}", 0), rows) for name, rows in sorted(counted.items())}
