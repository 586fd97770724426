"""Device stage of a shard: rows are made and models asked about them; all else can be done beside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.batches import MadeRows, Pixels, Recipe
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.compute.runs import runs_of
from hardset.pipeline.judging.judge import Floats, Judge, Mask, seeded
from hardset.pipeline.judging.transfer import HeldOutVerdicts, Seen
from hardset.pipeline.models.roles import VICTIM, transfer_role
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
    clean = rows.clean
    if tools.judge is not None and tools.recipe.kind == ADVERSARIAL and not tools.stochastic:
        clean = replace(clean, logits=_of_clean(tools.judge, VICTIM, rows))
    # What a stochastic model draws in the search belongs to the shard; no worker's past may have a say in it.
    with seeded(tools.device) if tools.stochastic else nullcontext():
        made = tools.recipe.make(clean, rows.seeds)
    return AnsweredRows(made, ask(tools, rows, made), tools.divider.smallest_part())


def ask(tools: DeviceTools, rows: ReadRows, made: MadeRows) -> Answers:
    """Logits of made rows, and of their clean rows and by held-out models where these are adversarial."""
    judge = tools.judge
    if judge is None or not len(made):
        return Answers()
    if tools.recipe.kind != ADVERSARIAL:
        return Answers(judge.logits(made.pixels))
    alike = _Alike.of(rows, made)
    clean = _of_clean(judge, VICTIM, rows)
    return Answers(
        made=alike.logits(judge, clean),
        clean=clean,
        again=judge.logits(made.pixels, seed=1) if judge.stochastic else None,
        transfer=HeldOutVerdicts(
            {name: _seen(alike, other, transfer_role(name), rows) for name, other in tools.held_out.items()},
            rows.clean.labels[made.parents],
            targets_of(made),
        ),
    )


def _of_clean(judge: Judge, role: str, rows: ReadRows) -> Floats:
    """Logits of the clean rows by the model of a role, which is asked once for all recipes of their range."""
    if role not in rows.asked:
        rows.asked[role] = judge.logits(rows.clean.pixels)
    return rows.asked[role]


def _seen(alike: _Alike, judge: Judge, role: str, rows: ReadRows) -> Seen:
    clean = _of_clean(judge, role, rows)
    return Seen(clean[alike.parents], alike.logits(judge, clean))


@dataclass(frozen=True)
class _Alike:
    """Which of N made rows show the very pixels of their clean row, or of the row before them of the same parent.

    Rows that the model errs on from the start, and larger budgets of a row that fell to a smaller one, cost no pass.
    """

    pixels: Pixels
    parents: NDArray[np.int64]
    unmoved: Mask
    """(N,): those that show their clean row."""
    first: NDArray[np.int64]
    """Positions of the rows that are asked about."""
    run: NDArray[np.int64]
    """(N - unmoved,): for each moved row the number of the one that is asked about in its place."""

    @staticmethod
    def of(rows: ReadRows, made: MadeRows) -> _Alike:
        pixels, parents = made.pixels, made.parents
        pairs = zip(pixels, parents, strict=True)
        unmoved = np.array([np.array_equal(row, rows.clean.pixels[at]) for row, at in pairs])
        moved = np.flatnonzero(~unmoved)
        again = np.zeros(len(moved), bool)
        for place, (before, here) in enumerate(pairwise(moved), 1):
            again[place] = parents[before] == parents[here] and np.array_equal(pixels[before], pixels[here])
        first, run = runs_of(again)
        return _Alike(pixels, parents, unmoved, moved[first], run)

    def logits(self, judge: Judge, clean: Floats) -> Floats:
        """Logits of the made rows by a model whose logits of the clean ones are known."""
        found = clean[self.parents]
        if len(self.first):
            found[~self.unmoved] = judge.logits(self.pixels[self.first])[self.run]
        return found


def targets_of(made: MadeRows) -> NDArray[np.int64] | None:
    """Classes (N,) that targeted attacks aimed at; None for untargeted ones."""
    targets = made.columns.get("target_label")
    return None if targets is None else np.asarray(targets, np.int64)
