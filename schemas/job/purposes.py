"""What a job file is for."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """What a job file is for: the verb that runs it follows."""

    GENERATE = "generate"
    HARDEN = "harden"
    ROBUSTNESS = "robustness"
    AUGMENT = "augment"
