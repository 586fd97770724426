"""Retries of requests to a store that is busy or unreachable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.environment import PREFIX, from_environment

VARIABLES = {"tries": f"{PREFIX}STORAGE_TRIES", "seconds": f"{PREFIX}STORAGE_SECONDS"}
"""Names of the variables by the field that each sets."""


class Retries(Spec):
    """Limits of retries: exponential backoff with full jitter, so that actors do not all retry at once.

    The longest wait doubles from `first_delay`, and each wait is drawn between 0 and it
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Client libraries retry a few times by
    themselves; these retries come in addition.
    """

    tries: Annotated[int, Field(ge=1, le=1000)] = 8
    """Maximum number of attempts per request, including the first."""
    seconds: Annotated[float, Field(ge=0)] = 120.0
    """Seconds after which no further attempt starts."""
    first_delay: Annotated[float, Field(ge=0)] = 0.25
    """Longest wait before the second attempt, in seconds."""
    longest_delay: Annotated[float, Field(ge=0)] = 20.0
    """Longest wait between two attempts, in seconds."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Retries:
        """Limits with the environment's values in place of the defaults. Raises JobError for invalid values."""
        return from_environment(cls, VARIABLES, environment)
