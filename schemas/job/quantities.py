"""Budgets and step sizes: exact rationals on the [0, 1] pixel scale, or ranges of them drawn per row."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticSerializationUnexpectedValue

from hardset.schemas.base import Spec
from hardset.schemas.reading.settings import written

# A float64 holds 8/255 * 255 as 8 only up to its last bit; a millionth of a level absorbs that.
LEVEL_SLACK = 1e-6

# Bounded, because Fraction("1e999999999") would work until memory is gone.
_NUMBER = r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?"
_QUOTIENT = rf"^{_NUMBER}(?: ?/ ?{_NUMBER})?$"


def _parse(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("wants a number such as 8/255 or 0.03")
    text = value.strip() if isinstance(value, str) else repr(value)
    if not re.fullmatch(_QUOTIENT, text):
        raise ValueError("wants a number such as 8/255 or 0.03")
    above, _, below = text.partition("/")
    try:
        return Fraction(above) / Fraction(below or "1")
    except ZeroDivisionError:
        raise ValueError("wants a number such as 8/255 or 0.03") from None


def _written(value: Any) -> str:
    # pydantic tries the members of a union in turn, and would take str() of a Range for an answer.
    if not isinstance(value, Fraction):
        raise PydanticSerializationUnexpectedValue(f"{value!r} is no fraction")
    return str(value)


Rational = Annotated[
    Fraction,
    BeforeValidator(_parse),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": ["string", "number"], "pattern": _QUOTIENT, "examples": ["8/255", 0.03]}),
]
"""Exact rational number; `0.03` means three hundredths, not the nearest binary float."""


Number = TypeVar("Number", Fraction, float, int)


class Interval(Spec, Generic[Number]):
    """Two numbers of one kind, both of them included."""

    min: Number
    """Smallest number."""
    max: Number
    """Largest number."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min: got {written(self.min)}; wants at most max, which is {written(self.max)}")
        return self


class Range(Interval[Fraction]):
    """Range of a value that is drawn uniformly for each row, from the row's key."""

    min: Rational = Field(examples=["2/255"])
    """Smallest value, [0, 1] pixel scale."""
    max: Rational = Field(examples=["8/255"])
    """Largest value, [0, 1] pixel scale."""


Amount = Rational | Range
"""Value for all rows, or a range from which each row's value is drawn."""


def bounds(amount: Number | Interval[Number] | tuple[Number, ...]) -> tuple[Number, Number]:
    """Smallest and largest number that an amount can give."""
    if isinstance(amount, tuple):
        return min(amount), max(amount)
    return (amount.min, amount.max) if isinstance(amount, Interval) else (amount, amount)


def whole_levels(eps: float) -> int:
    """Number of 8-bit levels in a budget of `eps` on the [0, 1] scale: floor(eps * 255).

    It limits the largest change under Linf, and the sum of all changes under L1.
    """
    return int(eps * 255 + LEVEL_SLACK)


def check_pixels(eps: Fraction) -> None:
    """Raises ValueError where an L0 budget is no whole number of pixels."""
    if eps.denominator != 1:
        raise ValueError(f"eps: got {eps}; in L0 a budget is a whole number of pixels")


def whole_pixels(eps: float) -> int:
    """Number of pixels in an L0 budget."""
    return int(eps + LEVEL_SLACK)


def whole_squares(eps: float) -> int:
    """Largest sum of squared level changes in an L2 budget of `eps` on the [0, 1] scale: floor((eps * 255)^2)."""
    return int((eps * 255) ** 2 + LEVEL_SLACK)
