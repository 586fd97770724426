"""A loop of two short rounds on a few digits, its datasets made in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardset.pipeline.hardening.loop import HardeningOutcome, harden
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.generation import RunOutcome
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from tests.support import document, make_here

PGD = {"kind": "attack", "name": "pgd", "eps": "0.1", "steps": 3}


def loop_document(weights: dict[str, str], out: Path, **changes: Any) -> dict[str, Any]:
    """The job file of a loop on 400 digits, of which 10 % are held out."""
    base = document(
        weights,
        out,
        recipes=[PGD],
        source={"format": "digits", "limit": 400},
        output={"path": str(out), "shard_rows": 400},
        train={"epochs": 1, "batch": 64, "rate": 1e-3, "mix": {"newest": 0.8, "older": 0.2}},
        harden={
            "rounds": 2,
            "validation": {"fraction": 0.1},
            "attacks": [{"name": "pgd", "eps": "0.1", "steps": 5}],
        },
    )
    return base | changes


def loop_job(weights: dict[str, str], out: Path, **changes: Any) -> Job:
    """The same, validated."""
    return parse_job(loop_document(weights, out, **changes))


def made_here(job: Job) -> RunOutcome:
    """Makes a dataset without Ray."""
    manifest = make_here(job)
    return RunOutcome("complete", make_plan(job), manifest.totals, len(manifest.outputs), manifest)


def harden_here(job: Job, **arguments: Any) -> HardeningOutcome:
    """Runs a loop without Ray."""
    return harden(job, make=made_here, **arguments)
