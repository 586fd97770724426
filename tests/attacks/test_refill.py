"""When the engine asks for verdicts that rows wait for, by what it cost: time is counted in passes here."""

from __future__ import annotations

import numpy as np
import torch

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.geometries import Linf
from hardset.pipeline.attacks.schedules import Fixed
from hardset.pipeline.attacks.search import Search, SearchRows
from hardset.pipeline.attacks.slots import MOVED, REACHED
from tests.attacks.nets import CPU, TwoClassLinear

SLOTS, STEPS = 20, 30
CLEAN, BORDER = 100, 127.5  # levels; all rows are one grey pixel


def test_waiting_rows_are_let_go_once_a_quarter_of_the_slots_idles():
    """Row 0 resists; rows 1 to 19 fall one pass after the other and leave their slots to rows 20 to 38, which resist.

    So from the end of row 0 on, one row after the other runs out of steps, waits for its verdict, and its slot idles,
    while the same images at larger budgets, rows 39 to 58, wait for that verdict. Five idle slots of twenty are a
    quarter: the twenty verdicts come in four batches. The last twenty fill a batch and are judged together.
    """
    falling, resisting = np.arange(1, SLOTS), np.array([0, *range(SLOTS, 2 * SLOTS - 1)])
    following = np.arange(2 * SLOTS - 1, 3 * SLOTS - 1)
    count = 3 * SLOTS - 1
    step, budget, follows = np.full(count, 0.3), np.full(count, 10), np.full(count, -1)
    step[falling] = (BORDER + 1.5 - CLEAN) / falling
    budget[falling], budget[following] = 60, 20
    follows[following] = resisting
    labels = torch.zeros(count, dtype=torch.int64)
    work = SearchRows(
        pixels=torch.full((count, 1, 1, 1), CLEAN, dtype=torch.uint8),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.arange(count),
        radius=budget / 255,
        budget=budget.astype(np.int64),
        step_size=step / 255,
        follows=follows,
    )
    search = Search(objectives.margin, Linf(), Fixed(), STEPS, random_start=False, after_success=0)
    net = TwoClassLinear(torch.tensor([255.0]), -BORDER)
    outcome = Engine(net, SLOTS, CPU).run(search, work)
    assert np.flatnonzero(outcome.rank == REACHED).tolist() == falling.tolist()
    assert (outcome.rank[outcome.rank != REACHED] == MOVED).all()
    assert outcome.gradients[falling].tolist() == [number + 1 for number in falling]
    assert (outcome.gradients[resisting] == STEPS).all() and (outcome.gradients[following] == STEPS).all()
    assert outcome.effort.verdicts == 4 + 1
    # The last five are judged after the last step of row 38, and their followers need as many passes again.
    assert outcome.effort.batches == SLOTS + STEPS + STEPS


def test_searches_that_a_row_no_longer_needs_end_at_once():
    """The first try falls after four steps of seven levels; two more start further off and would need longer."""
    geometry, clean, radius = Linf(), torch.full((1, 1, 1, 1), CLEAN / 255), torch.tensor([28 / 255])

    def starts(seed: int) -> list[float]:
        each = (geometry.start(clean, radius, torch.tensor([seed]), torch.tensor([order])) for order in (1, 2))
        return [float(image) * 255 for image in each]

    seed = next(seed for seed in range(1000) if max(starts(seed)) < CLEAN - 8)
    labels = torch.zeros(1, dtype=torch.int64)
    work = SearchRows(
        pixels=torch.full((1, 1, 1, 1), CLEAN, dtype=torch.uint8),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.tensor([seed]),
        radius=np.array([28 / 255]),
        budget=np.array([28]),
        step_size=np.array([7 / 255]),
    )
    search = Search(objectives.margin, geometry, Fixed(), STEPS, restarts=3, random_start=False, after_success=0)
    outcome = Engine(TwoClassLinear(torch.tensor([255.0]), -BORDER), 3, CPU).run(search, work)
    assert outcome.rank.tolist() == [REACHED]
    assert outcome.gradients.tolist() == [5]
    assert (outcome.effort.batches, outcome.effort.wasted) == (5, 10)
