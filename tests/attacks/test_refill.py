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

SLOTS, STEPS = 8, 12
CLEAN, BORDER = 100, 127.5  # levels; all rows are one grey pixel


def test_waiting_rows_are_let_go_once_a_quarter_of_the_slots_idles():
    """Row 0 resists; rows 1 to 7 fall one pass after the other and leave their slots to rows 8 to 14, which resist.

    So from the end of row 0 on, one row after the other runs out of steps, waits for its verdict, and its slot idles,
    while the same images at larger budgets, rows 15 to 22, wait for that verdict. Two idle slots of eight are a
    quarter: the eight verdicts come in pairs. The last eight fill a batch and are judged together.
    """
    resisting = [0, *range(8, 15)]
    step = np.full(23, 1.0)
    step[1:8] = [(BORDER + 1.5 - CLEAN) / number for number in range(1, 8)]
    budget = np.full(23, 10)
    budget[1:8], budget[15:] = 60, 20
    follows = np.full(23, -1)
    follows[15:] = resisting
    labels = torch.zeros(23, dtype=torch.int64)
    work = SearchRows(
        pixels=torch.full((23, 1, 1, 1), CLEAN, dtype=torch.uint8),
        labels=labels,
        targets=labels[:, None],
        seeds=torch.arange(23),
        radius=budget / 255,
        budget=budget.astype(np.int64),
        step_size=step / 255,
        follows=follows,
    )
    search = Search(objectives.margin, Linf(), Fixed(), STEPS, random_start=False, after_success=0)
    net = TwoClassLinear(torch.tensor([255.0]), -BORDER)
    outcome = Engine(net, SLOTS, CPU).run(search, work)
    assert outcome.rank.tolist() == [MOVED if row in resisting or row >= 15 else REACHED for row in range(23)]
    assert outcome.gradients.tolist() == [12, *range(2, 9), *[12] * 15]
    assert outcome.effort.verdicts == len(resisting) // 2 + 1
    # The last pair is judged after row 14's last step, and its followers need as many passes again.
    assert outcome.effort.batches == 8 + STEPS + STEPS
