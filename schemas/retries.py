"""How often, and for how long, a store is asked again that is busy or out of reach."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError

_VARIABLES = {"tries": "HARDSET_STORAGE_TRIES", "seconds": "HARDSET_STORAGE_SECONDS"}


class Retries(Spec):
    """Waits grow twofold from `first_delay` and are drawn between 0 and that, so that actors do not come back at once.

    (Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.) They come on top of the
    few tries that client libraries make by themselves.
    """

    tries: Annotated[int, Field(ge=1, le=1000)] = 8
    """Most tries of one request, the first included."""
    seconds: Annotated[float, Field(ge=0)] = 120.0
    """After this long no further try starts."""
    first_delay: Annotated[float, Field(ge=0)] = 0.25
    """Longest wait before the second try, in seconds."""
    longest_delay: Annotated[float, Field(ge=0)] = 20.0
    """Longest wait between two tries, in seconds."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Retries:
        """The defaults, or what HARDSET_STORAGE_TRIES and HARDSET_STORAGE_SECONDS say. Raises JobError for nonsense."""
        given = {key: environment[name] for key, name in _VARIABLES.items() if environment.get(name)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            name = _VARIABLES[str(fault["loc"][0])]
            raise JobError(f"{name}: got {fault['input']!r}: {fault['msg']}") from None
