"""Generators as they are trained, and how good their rows are."""

from __future__ import annotations

from hardset.jobs.api.generators import TrainedGenerator, train_generators
from hardset.jobs.terminal.console import console, count, say
from hardset.schemas.job.job import Job


def train(job: Job) -> tuple[TrainedGenerator, ...]:
    """Trains the generators of the job with the step on the terminal, and says where they are."""
    with console.status("training the generator") as shown:

        def show(weights: str, step: int, steps: int) -> None:
            shown.update(f"training {weights}: step {step} of {steps}")

        trained = train_generators(job, show)
    for one in trained:
        say(f"{one.weights}: trained on {count(one.rows, 'row')} in {one.seconds:.0f} s ({one.steps} steps)")
        if one.not_assessed is not None:
            say(f"not assessed: {one.not_assessed}")
        if one.quality is not None:
            say("  " + ", ".join(f"{name} {value:.2f}" for name, value in one.quality.items()))
    return trained
