"""Settings that every augmentation operation has."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.extensions import Extension, ImportPath

Probability = Annotated[float, Field(ge=0, le=1)]
GROUP = "hardset.augmentations"
"""Group of the entry points that name operations."""


class OperationSettings(Spec):
    """One augmentation: each setting a documented, typed field; the docstring says what the operation does."""

    code: ClassVar[int] = 1
    """Code version, raised when draw or apply begins to make other bytes; part of the shard key where it is not 1."""
    reference: ClassVar[str] = ""
    """Paper or specification, as a line with its URL; empty where there is none."""

    name: str
    """Name of the operation."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Raises ValueError, which begins with the setting's name, where images of that shape cannot be used."""


class UserOperation(Extension):
    """An operation of one's own: its import path, or the entry point that stands for it, and its settings."""

    key: ClassVar[str] = "name"
    group: ClassVar[str] = GROUP

    name: ImportPath
    """Import path of a `hardset.pipeline.augment.operation.Operation`, such as `package.module:NAME`."""
