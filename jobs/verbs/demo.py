"""`hardset demo`: the whole product on the bundled digits, in about a minute and without a download."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
import typer

from hardset.jobs.terminal.console import Exit, console, say
from hardset.jobs.verbs.generate import exit_code, make
from hardset.jobs.verbs.report import write_report
from hardset.jobs.verbs.train_gan import train, training_rows
from hardset.jobs.verbs.verify import report as say_findings
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import load_job

EPOCHS = 8


def demo(
    to: Annotated[Path, typer.Option(help="Folder to write; made where it is missing.", show_default=True)] = Path(
        "demo"
    ),
) -> None:
    """Train a small model and a GAN on the bundled digits, make a hardened dataset from them, verify and show it.

    Reads nothing outside the package; writes everything below --to. Returns 0.
    """
    to.mkdir(parents=True, exist_ok=True)
    job_file = to / "job.yaml"
    template = files("hardset.jobs.verbs").joinpath("demo_job.yaml").read_text(encoding="utf-8")
    job_file.write_text(template.replace("{folder}", str(to)), encoding="utf-8")
    job = load_job(job_file)
    say(f"1/5 job file      {job_file}")
    _train_model(job)
    say(f"2/5 model         {to / 'model.safetensors'}")
    if not (to / "gan.safetensors").exists():
        train(job)
    say(f"3/5 generator     {to / 'gan.safetensors'}")
    outcome = make(job)
    say(f"4/5 dataset       {job.output.path}")
    findings = verify(Folder(job.output.path), sample=None, trust=Trust(job))
    say_findings(findings)
    html = write_report(job.output.path, to=str(to / "report.html"), png=str(to / "picture.png"))
    say(f"5/5 report        {html}")
    say(f"    picture       {to / 'picture.png'}")
    say(f'\nLoad it: datasets.load_dataset("{job.output.path}", split="train")')
    raise typer.Exit(Exit.FAILED if findings.faults else exit_code(outcome))


def _train_model(job: Job) -> None:
    """Trains the demo's classifier unless an earlier demo did."""
    assert job.model is not None and job.model.weights is not None
    weights = Path(job.model.weights)
    if weights.exists():
        return
    rows, classes = training_rows(job)
    with console.status("training the model under attack"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        module = fit_classifier(small_cnn(classes=classes), rows.pixels, rows.labels, epochs=EPOCHS, seed=job.seed)
    safetensors.torch.save_file(module.state_dict(), weights)
