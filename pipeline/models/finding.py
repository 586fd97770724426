"""What explains a low accuracy: a sentence, and the settings that mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardset.pipeline.judging.judge import Mask


@dataclass(frozen=True)
class Finding:
    """One explanation that fits the rows."""

    text: str
    """What is wrong, the accuracy before and after, and the key to set."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Sections of the network as they have to be, by key; None for one that has to go. Empty where no one setting is
    the remedy."""


def remedy(at: str, settings: Mapping[str, Any]) -> str:
    """What to change in the job file. `at`: key path of the network there."""
    return " and ".join(
        f"remove {at}.{key}" if value is None else f"set {at}.{key}: {_flow(value)}" for key, value in settings.items()
    )


def _flow(value: Any) -> str:
    """A value as YAML on one line, without quotes around keys and words; of a long list the first twenty items."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value[:20]))}{', ...' if len(value) > 20 else ''}]"
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else json.dumps(value)


def sentence(at: str, before: Mask, after: Mask, what: str, mended: str) -> str:
    """What is wrong, the accuracy before and after, and what mends it."""
    return (
        f"{at}: the model is right on {np.mean(before):.1%} of {len(before):,} clean rows, and on {np.mean(after):.1%} "
        f"as if {what}; {mended}"
    )
