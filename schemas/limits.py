"""Bounds on what is read, told from metadata before it is read; each can be raised by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.environment import from_environment

GIB = 1 << 30
MIB = 1 << 20


class Limits(Spec):
    """Largest inputs. A stranger's file beyond them is refused by one sentence, which names the variable to raise."""

    weights_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 32.0
    """Size of a weight file in GiB (HARDSET_WEIGHTS_GIB)."""
    value_mib: Annotated[float, Field(gt=0, le=1 << 20)] = 256.0
    """Size of one encoded image, or of one row of an array, in MiB (HARDSET_VALUE_MIB)."""
    row_group_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 8.0
    """Size of the columns that are read of a Parquet row group, unfolded, in GiB (HARDSET_ROW_GROUP_GIB)."""

    array_gib: Annotated[float, Field(gt=0, le=1 << 20)] = 16.0
    """Size in GiB of an array of a .npz file that is compressed, or lies in Fortran order (HARDSET_ARRAY_GIB)."""
    query_seconds: Annotated[float, Field(gt=0, le=1 << 20)] = 300.0
    """Seconds that a condition or query over the rows of a dataset may take (HARDSET_QUERY_SECONDS)."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The defaults, or what the variables say. Raises JobError where one holds no number in its range."""
        return from_environment(cls, {key: variable(key) for key in cls.model_fields}, environment)


def variable(key: str) -> str:
    """Name of the environment variable of a limit."""
    return f"HARDSET_{key.upper()}"
