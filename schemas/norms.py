"""Norms of budgets, declared once for job files, records, geometries and the `norm` column."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Norm = Literal["linf", "l2", "l1"]
"""Norm as spelled in job files, records and code."""
NORMS: tuple[Norm, ...] = get_args(Norm)
STORED_NORMS: Mapping[Norm, str] = MappingProxyType({"linf": "Linf", "l2": "L2", "l1": "L1"})
"""Norms as spelled in the `norm` column and in text for people."""
_BY_STORED = {stored: norm for norm, stored in STORED_NORMS.items()}


def norm_of(stored: str) -> Norm:
    """Norm for a value of the `norm` column. Raises KeyError for any other value."""
    return _BY_STORED[stored]
