"""`hardset train-gan`: trains the generator that a job's sample recipe draws from."""

from __future__ import annotations

import typer

from hardset.jobs.terminal.console import Exit, give
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides
from hardset.jobs.terminal.stopping import GRACE_SECONDS, GraceSeconds
from hardset.jobs.terminal.voice import LogFormat, Logs


def train_gan(
    job: JobFile,
    grace_seconds: GraceSeconds = GRACE_SECONDS,
    log_format: Logs = LogFormat.TEXT,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train the generator of JOB's sample recipe on the train split of its source.

    Reads the source; writes the recipe's generator.weights (.safetensors, with a card inside), and beside it a
    .checkpoint while it trains. Keeps the best of the averages on half of the rows of the other splits, and says how
    good its rows are on the other half, judged by the job's model. Returns 0, or 4 when stopped: a second start goes on
    at the checkpoint, to the same weights.
    """
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.telling.train_gan import train

    trained = train(load_job(job, overrides or ()), grace_seconds, log_format)
    if trained is None:
        give({"status": "stopped"}, as_json=as_json)
        raise typer.Exit(Exit.STOPPED)
    files, quality = {one.weights: one.sha256 for one in trained}, {one.weights: one.quality for one in trained}
    give({"status": "complete", "generators": files, "quality": quality}, as_json=as_json)
