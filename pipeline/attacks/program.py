"""Stages in turn: an ensemble's attacks over the rows that still resist, and budgets from small to large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.composition import Stage
from hardset.pipeline.attacks.drawing import likely_classes
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.objectives import label_margin
from hardset.pipeline.attacks.search import Search, SearchOutcome, SearchRows
from hardset.pipeline.attacks.slots import NOTHING, REACHED
from hardset.pipeline.compute.levels import unit_images


@dataclass(frozen=True)
class ProgramOutcome:
    """The results of N rows after all stages."""

    images: Tensor
    """Float result before storing, float32 (N, C, H, W)."""
    rank: NDArray[np.int8]
    stage: NDArray[np.int64]
    """Position of the stage that gave the image (N,)."""
    gradients: NDArray[np.int32]
    queries: NDArray[np.int32]
    flat: NDArray[np.int32]
    nonfinite: NDArray[np.int64]
    rose: NDArray[np.bool_]


def run_program(
    engine: Engine,
    stages: Sequence[Stage],
    rows: SearchRows,
    eps: NDArray[np.float64],
    clean_logits: Tensor | None,
    variants: int,
    *,
    chain: bool = True,
) -> ProgramOutcome:
    """Runs all stages over rows in the order (parent, variant), variants being budgets from small to large.

    `eps` (N,) and `clean_logits` (N, K) belong to the rows; without stages that go towards likely classes the logits
    may be None. A row that fell to one stage is not searched again where the search stops at success. `chain`: nor is
    one that fell at a smaller budget, and where it resists, the next budget starts from where it ended.
    """
    linked = chain and variants > 1
    if len(stages) == 1:
        follows = np.arange(len(rows)) - 1
        follows[::variants] = -1
        chained = replace(rows, follows=follows) if linked else rows
        return _ended(engine.run(stages[0].search, _for_stage(chained, stages[0], eps, clean_logits)))
    ended = _nothing(rows)
    for variant in range(variants):
        where = np.arange(variant, len(rows), variants)
        part = _part(rows, where)
        done = np.zeros(len(where), bool)
        if variant and linked:
            before = where - 1
            part = replace(part, start=ended.images[before])
            done = (ended.rank[before] == REACHED) & _stops(stages[0].search)
            for column in (ended.images, ended.rank, ended.stage):
                column[where[done]] = column[before[done]]
        _run_stages(engine, stages, part, where, done, eps, clean_logits, ended)
    return ended


def _run_stages(
    engine: Engine,
    stages: Sequence[Stage],
    rows: SearchRows,
    where: NDArray[np.int64],
    done: NDArray[np.bool_],
    eps: NDArray[np.float64],
    clean_logits: Tensor | None,
    ended: ProgramOutcome,
) -> None:
    """Runs the stages over `rows`, which are the rows `where` of `ended`, and books what they find there."""
    closeness = np.full(len(where), -np.inf)
    for number, stage in enumerate(stages):
        todo = np.flatnonzero(~done & (rows.budget > 0))
        if not len(todo):
            return
        here = where[todo]
        logits = None if clean_logits is None else clean_logits[torch.from_numpy(here).to(clean_logits.device)]
        work = _for_stage(_part(rows, todo), stage, eps[here], logits)
        if stage.goes_on:
            work = replace(work, start=ended.images.index_select(0, torch.from_numpy(here).to(ended.images.device)))
        outcome = engine.run(stage.search, work)
        found = _closeness(engine, stage.search, work, outcome.images)
        better = (outcome.rank > ended.rank[here]) | ((outcome.rank == ended.rank[here]) & (found > closeness[todo]))
        kept = torch.from_numpy(np.flatnonzero(better)).to(ended.images.device)
        ended.images[torch.from_numpy(here[better]).to(kept.device)] = outcome.images.index_select(0, kept)
        ended.rank[here[better]], ended.stage[here[better]] = outcome.rank[better], number
        closeness[todo[better]] = found[better]
        for column, spent in ((ended.gradients, outcome.gradients), (ended.queries, outcome.queries)):
            column[here] += spent
        ended.flat[here] += outcome.flat
        ended.nonfinite[here] += outcome.nonfinite
        ended.rose[here] |= outcome.rose
        if _stops(stage.search):
            done[todo[outcome.rank == REACHED]] = True


def _stops(search: Search) -> bool:
    return search.after_success is not None


def _for_stage(rows: SearchRows, stage: Stage, eps: NDArray[np.float64], clean_logits: Tensor | None) -> SearchRows:
    """The rows with the stage's targets, and its step sizes where the job names none."""
    sizes = np.where(np.isnan(rows.step_size), eps * stage.step_share, rows.step_size)
    if clean_logits is None or not stage.targets:
        return replace(rows, step_size=sizes)
    return replace(rows, step_size=sizes, targets=likely_classes(clean_logits, rows.labels, stage.targets))


def _closeness(engine: Engine, search: Search, rows: SearchRows, images: Tensor) -> NDArray[np.float64]:
    """How near each image, as stored, is to the goal: margin of the label, negated, or of the target."""
    if search.on_grid:
        budget = torch.from_numpy(rows.budget).to(images.device)
        images = unit_images(search.geometry.to_grid(images, rows.pixels.to(torch.float32), budget))
    logits = engine.logits(images)
    near = label_margin(logits, rows.targets[:, 0]) if search.targeted else -label_margin(logits, rows.labels)
    return near.double().cpu().numpy()


def _part(rows: SearchRows, index: NDArray[np.int64]) -> SearchRows:
    at = torch.from_numpy(index).to(rows.labels.device)
    return SearchRows(
        pixels=rows.pixels.index_select(0, at),
        labels=rows.labels.index_select(0, at),
        targets=rows.targets.index_select(0, at),
        seeds=rows.seeds.index_select(0, at),
        radius=rows.radius[index],
        budget=rows.budget[index],
        step_size=rows.step_size[index],
        mask=None if rows.mask is None else rows.mask.index_select(0, at),
        start=None if rows.start is None else rows.start.index_select(0, at),
    )


def _ended(outcome: SearchOutcome) -> ProgramOutcome:
    stage = np.zeros(len(outcome.rank), np.int64)
    return ProgramOutcome(
        images=outcome.images,
        rank=outcome.rank,
        stage=stage,
        gradients=outcome.gradients,
        queries=outcome.queries,
        flat=outcome.flat,
        nonfinite=outcome.nonfinite,
        rose=outcome.rose,
    )


def _nothing(rows: SearchRows) -> ProgramOutcome:
    count = len(rows)
    none = np.zeros(count, np.int32)
    return ProgramOutcome(
        images=unit_images(rows.pixels),
        rank=np.full(count, NOTHING, np.int8),
        stage=np.zeros(count, np.int64),
        gradients=none,
        queries=none.copy(),
        flat=none.copy(),
        nonfinite=np.zeros(count, np.int64),
        rose=np.zeros(count, bool),
    )
