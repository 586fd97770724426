"""`hardset init` with data: looks, asks where somebody is there to answer, and says what was found and what is next."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch
import typer
import yaml

from hardset.jobs.api.beginning import Looked, look_at
from hardset.jobs.telling.job_text import COMMANDS, flow, job_text
from hardset.jobs.terminal.console import complain, count, say
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import parse_evaluation
from hardset.schemas.job.network import OWN_FACTORIES
from hardset.schemas.job.purposes import Purpose
from hardset.schemas.reading.loading import overlaid, parse_job

_SETTABLE = ("source", "model")
_SMALL = 64
"""Side in pixels up to which hardset's smallest network does."""


def begin(
    path: Path, data: str, model: str | None, weights: str | None, purpose: Purpose | None, overrides: Sequence[str]
) -> tuple[str, Purpose]:
    """The text of a job file, held to its schema, and what it is for. Raises JobError for what cannot be used."""
    settings = _settings(overrides)
    purpose = purpose or _purpose(model)
    if model is None and purpose in (Purpose.GENERATE, Purpose.ROBUSTNESS):
        raise JobError(f"--for {purpose}: needs a model to attack; name one with --model, or take --for augment")
    looked = look_at(data, model, weights, settings=settings, ask=_asked)
    if looked.classes is None:
        raise JobError(
            "--data: does not name its classes; list them, such as --set source.classes=[cat,dog], or write "
            "--set source.classes=from_source"
        )
    _tell(looked)
    if model is None and purpose is Purpose.HARDEN:
        looked = replace(looked, model=_untrained(looked))
        say("No model was named: a small network of hardset's own is trained from nothing.")
    name = _name(data)
    out = f"{name}-{purpose}/"
    text = job_text(looked, purpose, name=name, out=out, file=str(path), gpus=torch.cuda.device_count())
    document: dict[str, Any] = yaml.safe_load(text)
    (parse_evaluation if purpose is Purpose.ROBUSTNESS else parse_job)(document, name=str(path))
    return text, purpose


def next_command(path: Path, purpose: Purpose) -> str:
    """What is typed next."""
    if purpose is Purpose.ROBUSTNESS:
        return f"hardset evaluate {path}"
    return f"hardset plan {path}, then hardset {COMMANDS[purpose]} {path}"


def _untrained(looked: Looked) -> dict[str, Any]:
    """A network of hardset's own where none was named: hardening trains it from nothing."""
    image = looked.image
    arguments = {"classes": looked.classes, "channels": image.channels}
    if min(image.height, image.width) > _SMALL:
        return {"factory": f"{OWN_FACTORIES}mobilenet_v1", "arguments": arguments}
    return {"factory": f"{OWN_FACTORIES}small_cnn", "arguments": {**arguments, "side": image.height}}


def _tell(looked: Looked) -> None:
    image = looked.image
    kind = "grey" if image.channels == 1 else "RGB"
    say(f"Found {looked.what}: {count(looked.rows, 'row')} of {image.width} x {image.height} pixels, {kind}.")
    if looked.clean is not None:
        say(f"The model is right on {looked.clean} of {count(looked.clean.judged, 'sampled row')}.")
    for key, (value, how) in looked.found.items():
        say(f"Left out model.{key} ({how})." if value is None else f"Set model.{key}: {flow(value)} ({how}).")
    for note in looked.notes:
        complain(f"warning: {note}")


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    document = overlaid({}, overrides)
    if others := sorted(document.keys() - set(_SETTABLE)):
        raise JobError(f"--set {others[0]}: init takes settings of source and model; write others into the file")
    if bare := [name for name, section in document.items() if not isinstance(section, dict)]:
        raise JobError(f"--set {bare[0]}: wants a setting of it, such as {bare[0]}.KEY=VALUE")
    return document


def _purpose(model: str | None) -> Purpose:
    usual = Purpose.AUGMENT if model is None else Purpose.GENERATE
    if not _somebody():
        return usual
    told = typer.prompt(f"What for ({', '.join(Purpose)})", default=str(usual))
    if told not in tuple(Purpose):
        raise JobError(f"--for: got {told!r}; wants one of {', '.join(Purpose)}")
    return Purpose(told)


def _asked(question: str, usual: int) -> int:
    return int(typer.prompt(question, default=usual, type=int)) if _somebody() else usual


def _somebody() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _name(data: str) -> str:
    """A name for the job from that of its data."""
    last = PurePosixPath(data.rstrip("/")).name.partition(".")[0] or "images"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-_")[:60] or "images"
