"""The base of every declared record: frozen, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A declared record. Unknown keys are refused; instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
