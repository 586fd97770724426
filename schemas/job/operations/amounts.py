"""Amounts of operations: a number for all rows, or numbers of which each row draws its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hardset.schemas.job.quantities import Interval, bounds


class NumberInterval(Interval[float]):
    """Range of numbers; each row draws its own uniformly, from the row's key."""

    min: float = Field(examples=[0.5])
    """Smallest number."""
    max: float = Field(examples=[1.5])
    """Largest number."""


Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class WholeInterval(Interval[int]):
    """Range of whole numbers, both ends included; each row draws its own uniformly, from the row's key."""

    min: Whole = Field(examples=[1])
    """Smallest number."""
    max: Whole = Field(examples=[5])
    """Largest number."""


Numbers = float | NumberInterval | tuple[float, ...]
"""A number for all rows, a range, or a list of numbers that rows draw from with equal chance."""
WholeNumbers = Whole | WholeInterval | tuple[Whole, ...]
"""A whole number for all rows, a range, or a list of whole numbers that rows draw from with equal chance."""


@dataclass(frozen=True)
class Within:
    """Bounds of an amount, each of them allowed unless `above` says that the lower one is not."""

    least: float
    most: float
    above: bool = False
    """Whether the number has to be more than `least`."""

    def checked(self, amount: Any) -> Any:
        """The amount as it is. Raises ValueError: empty, or a number outside the bounds."""
        if amount == ():
            raise ValueError("wants at least one number")
        low, high = bounds(amount)
        if low < self.least or high > self.most or (self.above and low == self.least):
            lower = f"above {self.least:g}" if self.above else f"from {self.least:g}"
            raise ValueError(f"wants numbers {lower} to {self.most:g}")
        return amount

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))
