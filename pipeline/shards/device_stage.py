"""Device stage of a shard: rows are made and models asked about them; all else can be done beside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows, Recipe
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.judging.judge import Floats, Judge, seeded
from hardset.pipeline.judging.transfer import HeldOutVerdicts, transfer_of
from hardset.pipeline.shards.reading import ReadRows
from hardset.schemas.rows.contract import ADVERSARIAL


@dataclass(frozen=True)
class DeviceTools:
    """Tools that the device stage uses for the shards of one recipe."""

    recipe: Recipe
    judge: Judge | None
    """None where the job names no model."""
    held_out: Mapping[str, Judge]
    """Judges of held-out models by name, for adversarial rows; empty for others."""
    device: torch.device
    stochastic: bool
    """Whether the model under attack answers at random."""
    divider: Divider


@dataclass(frozen=True)
class Answers:
    """Logits, float32 (N, classes) for N made rows and (M, classes) for M clean ones; None where nobody asks."""

    made: Floats | None = None
    clean: Floats | None = None
    """Logits of the clean rows that adversarial rows were made from."""
    again: Floats | None = None
    """Logits of made rows under another seed, where the model answers at random."""
    transfer: HeldOutVerdicts | None = None
    """Verdicts of held-out models on adversarial rows."""


@dataclass(frozen=True)
class AnsweredRows:
    """Made rows, and what the models say of them."""

    made: MadeRows
    answers: Answers
    device_batch: int | None
    """Rows of the smallest part that a batch was run in; None: all were run whole."""


def make_and_ask(tools: DeviceTools, rows: ReadRows) -> AnsweredRows:
    """Makes the rows of a shard and asks the models about them: all that the device does for it."""
    # What a stochastic model draws in the search belongs to the shard; no worker's past may have a say in it.
    with seeded(tools.device) if tools.stochastic else nullcontext():
        made = tools.recipe.make(rows.clean, rows.seeds)
    answers = ask(tools, rows.clean, made)
    return AnsweredRows(made, answers, tools.divider.smallest_part())


def ask(tools: DeviceTools, clean: CleanRows, made: MadeRows) -> Answers:
    """Logits of made rows, and of their clean rows and by held-out models where these are adversarial."""
    judge = tools.judge
    if judge is None or not len(made):
        return Answers()
    if tools.recipe.kind != ADVERSARIAL:
        return Answers(judge.logits(made.pixels))
    return Answers(
        made=judge.logits(made.pixels),
        clean=judge.logits(clean.pixels),
        again=judge.logits(made.pixels, seed=1) if judge.stochastic else None,
        transfer=transfer_of(
            tools.held_out,
            made.pixels,
            clean.pixels,
            parents=made.parents,
            labels=clean.labels[made.parents],
            targets=targets_of(made),
        ),
    )


def targets_of(made: MadeRows) -> NDArray[np.int64] | None:
    """Classes (N,) that targeted attacks aimed at; None for untargeted ones."""
    targets = made.columns.get("target_label")
    return None if targets is None else np.asarray(targets, np.int64)
