"""Roles of models in a plan's digests."""

from __future__ import annotations

VICTIM = "victim"
"""Role of the model under attack; an ensemble's members are `victim:0`, `victim:1` and so on."""


def transfer_role(name: str) -> str:
    """Role of a held-out model."""
    return f"transfer:{name}"
