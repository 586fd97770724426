"""hardset makes hardened image training sets: adversarial, GAN-sampled and augmented rows as Parquet.

`import hardset` loads neither torch nor Ray; each function brings what it needs when it is first looked up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardset.jobs.api.attacking import attack
    from hardset.jobs.api.audit import replay, verify
    from hardset.jobs.api.augmenting import augment
    from hardset.jobs.api.dataset import open_dataset
    from hardset.jobs.api.evaluation import evaluate
    from hardset.jobs.api.generation import generate
    from hardset.jobs.api.hardening import harden
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.api.planning import plan
    from hardset.schemas.errors import HeldError, JobError, RunError

    __version__: str

__all__ = [
    "HeldError",
    "JobError",
    "RunError",
    "__version__",
    "attack",
    "augment",
    "evaluate",
    "generate",
    "harden",
    "load_job",
    "open_dataset",
    "plan",
    "replay",
    "verify",
]

_HOMES = {
    "HeldError": "schemas.errors",
    "JobError": "schemas.errors",
    "RunError": "schemas.errors",
    "attack": "jobs.api.attacking",
    "augment": "jobs.api.augmenting",
    "evaluate": "jobs.api.evaluation",
    "generate": "jobs.api.generation",
    "harden": "jobs.api.hardening",
    "load_job": "jobs.api.inputs",
    "open_dataset": "jobs.api.dataset",
    "plan": "jobs.api.planning",
    "replay": "jobs.api.audit",
    "verify": "jobs.api.audit",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms, more than all the rest here

        value: Any = version("hardset")
    elif name in _HOMES:
        value = getattr(import_module(f"hardset.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'hardset' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
