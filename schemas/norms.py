"""Norms of budgets, declared once for job files, records, geometries and the `norm` column."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Norm = Literal["linf", "l2", "l1", "l0"]
"""Norm as spelled in job files, records and code; l0 counts the pixels that change, in any of their channels."""
NORMS: tuple[Norm, ...] = get_args(Norm)
BALLS: tuple[Norm, ...] = ("linf", "l2", "l1")
"""Norms whose balls are convex, in which an attack of steps and projections works unless it says otherwise."""
STORED_NORMS: Mapping[Norm, str] = MappingProxyType({"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"})
"""Norms as spelled in the `norm` column and in text for people."""
NO_NORM = "none"
"""Value of the `norm` column where no norm measures the budget; `eps` is empty then."""
_BY_STORED = {stored: norm for norm, stored in STORED_NORMS.items()}


def norm_of(stored: str) -> Norm:
    """Norm for a value of the `norm` column. Raises KeyError for any other value."""
    return _BY_STORED[stored]
