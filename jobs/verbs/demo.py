"""`hardset demo`: the whole product on the bundled digits, in about a minute and without a download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardset.jobs.terminal.console import Exit, console, say

if TYPE_CHECKING:
    from hardset.schemas.job.job import Job

EPOCHS = 8


def demo(
    to: Annotated[Path, typer.Option(help="Folder to write; made where it is missing.", show_default=True)] = Path(
        "demo"
    ),
) -> None:
    """Train a small model and a GAN on the bundled digits, make a hardened dataset from them, verify and show it.

    Reads nothing outside the package; writes everything below --to. Returns 0.
    """
    from importlib.resources import files

    from hardset.jobs.api.audit import verify
    from hardset.jobs.api.inputs import load_job
    from hardset.jobs.api.reports import write_report
    from hardset.jobs.api.trusting import trust_of
    from hardset.jobs.telling.generate import make
    from hardset.jobs.telling.train_gan import train
    from hardset.jobs.telling.verify import tell

    to.mkdir(parents=True, exist_ok=True)
    job_file = to / "job.yaml"
    template = files("hardset.jobs.verbs").joinpath("demo_job.yaml").read_text(encoding="utf-8")
    job_file.write_text(template.replace("{folder}", str(to)), encoding="utf-8")
    job = load_job(job_file)
    say(f"1/5 job file      {job_file}")
    _train_model(job)
    say(f"2/5 model         {to / 'model.safetensors'}")
    if not (to / "gan.safetensors").exists() and train(job) is None:
        raise typer.Exit(Exit.STOPPED)
    say(f"3/5 generator     {to / 'gan.safetensors'}")
    ended = make(job, report=False)
    say(f"4/5 dataset       {job.output.path}")
    findings = verify(job.output.path, sample=None, job=job)
    tell(findings)
    html = write_report(job.output.path, png=str(to / "picture.png"), trust=trust_of(job))
    say(f"5/5 report        {html}")
    say(f"    picture       {to / 'picture.png'}")
    say(f"\nLook: hardset show {job.output.path}")
    say(f'Load: datasets.load_dataset("{job.output.path}", split="train")')
    raise typer.Exit(Exit.FAILED if findings.faults else ended.exit_code)


def _train_model(job: Job) -> None:
    """Trains the demo's classifier unless an earlier demo did."""
    import safetensors.torch
    import torch

    from hardset.jobs.api.generators import training_rows
    from hardset.pipeline.models.fitting import fit_classifier
    from hardset.pipeline.models.zoo import small_cnn

    assert job.model is not None and job.model.weights is not None
    weights = Path(job.model.weights)
    if weights.exists():
        return
    rows, classes = training_rows(job)
    with console.status("training the model under attack"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        module = fit_classifier(small_cnn(classes=classes), rows.pixels, rows.labels, epochs=EPOCHS, seed=job.seed)
    safetensors.torch.save_file(module.state_dict(), weights)
