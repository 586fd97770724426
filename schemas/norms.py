"""The norms that a budget is measured in: declared once for job files, records, geometries and the `norm` column."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Norm = Literal["linf", "l2", "l1"]
"""A norm by the word of job files and records, which the code uses too."""
NORMS: tuple[Norm, ...] = get_args(Norm)
STORED_NORMS: Mapping[Norm, str] = MappingProxyType({"linf": "Linf", "l2": "L2", "l1": "L1"})
"""The same by the word of the `norm` column and of texts for people."""
_BY_STORED = {stored: norm for norm, stored in STORED_NORMS.items()}


def norm_of(stored: str) -> Norm:
    """The norm that a value of the `norm` column stands for. Raises KeyError for another value."""
    return _BY_STORED[stored]
