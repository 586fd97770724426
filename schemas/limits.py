"""Bounds on what is read, told from metadata before it is read; each can be raised by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.environment import PREFIX, from_environment

GIB = 1 << 30
MIB = 1 << 20


class Limits(Spec):
    """Largest inputs. A stranger's file beyond them is refused by one sentence, which names the variable to raise."""

    weights_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 32.0
    """Largest size of a weight file in GiB."""
    value_mib: Annotated[float, Field(gt=0, le=1 << 20)] = 256.0
    """Largest size of one encoded image, or of one row of an array, in MiB."""
    row_group_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 8.0
    """Largest size of the columns that are read of a Parquet row group, unfolded, in GiB."""

    array_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 16.0
    """Largest size in GiB of an array of a .npz file that is compressed, or lies in Fortran order."""
    query_seconds: Annotated[float, Field(gt=0, le=1 << 20)] = 300.0
    """Most seconds that a condition or query over the rows of a dataset may take."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The defaults, or what the variables say. Raises JobError where one holds no number in its range."""
        return from_environment(cls, {key: variable(key) for key in cls.model_fields}, environment)


def variable(key: str) -> str:
    """Name of the environment variable of a limit."""
    return f"{PREFIX}{key.upper()}"
