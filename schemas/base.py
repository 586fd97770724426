"""The base of every declared record: frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

BOOLEAN_FOR_NUMBER = "boolean_for_number"
"""pydantic error type of a boolean where none belongs; its context names the key."""


class Spec(BaseModel):
    """A declared record. Unknown keys, NaN, infinities and booleans in place of numbers are refused.

    Instances are immutable.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _boolean_is_no_number(cls, document: Any) -> Any:
        # YAML reads `yes` and `on` as booleans, and pydantic would take true for 1.
        for key, value in document.items() if isinstance(document, Mapping) else ():
            values = value if isinstance(value, list | tuple) else (value,)
            field = cls.model_fields.get(key) if isinstance(key, str) else None
            if field and any(isinstance(v, bool) for v in values) and not _takes_booleans(field.annotation):
                raise PydanticCustomError(BOOLEAN_FOR_NUMBER, "wants no boolean", {"key": key})
        return document


def _takes_booleans(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_takes_booleans, get_args(annotation)))
