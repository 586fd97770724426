"""Settings of the operations that add noise."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.quantities import Rational


class GaussianNoise(OperationSettings):
    """Adds independent normal noise to every value."""

    name: Literal["gaussian_noise"] = "gaussian_noise"
    std: Rational
    """Standard deviation on the [0, 1] pixel scale."""

    @model_validator(mode="after")
    def _positive(self) -> GaussianNoise:
        if not 0 < self.std <= 1:
            raise ValueError(f"std: got {self.std}; wants more than 0 and at most 1")
        return self
