"""`hardset train-gan`: trains the generator that a job's sample recipe draws from."""

from __future__ import annotations

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.options import AsJson, JobFile, Overrides


def train_gan(job: JobFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train the generator of JOB's sample recipe on the train split of its source.

    Reads the source; writes the recipe's generator.weights (.safetensors, with a card inside). Says how good its
    rows are, judged by the job's model on rows of the other splits. Returns 0.
    """
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.telling.train_gan import train

    trained = train(load_job(job, overrides or ()))
    files, quality = {one.weights: one.sha256 for one in trained}, {one.weights: one.quality for one in trained}
    give({"status": "complete", "generators": files, "quality": quality}, as_json=as_json)
