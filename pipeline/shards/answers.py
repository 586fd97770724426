"""What the models say of made rows: all that judging asks of the device, so that the rest can be done beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.pipeline.judging.judge import Floats
from hardset.pipeline.judging.transfer import HeldOutVerdicts, transfer_of
from hardset.pipeline.shards.worker import Worker
from hardset.schemas.rows.contract import ADVERSARIAL


@dataclass(frozen=True)
class Answers:
    """Logits, float32 (N, classes) for N made rows and (M, classes) for M clean ones; None where nobody asks."""

    made: Floats | None = None
    clean: Floats | None = None
    """Of the clean rows that adversarial rows were made from."""
    again: Floats | None = None
    """Of made rows under another seed, where the model answers at random."""
    transfer: HeldOutVerdicts | None = None
    """Verdicts of held-out models on adversarial rows."""


def ask(worker: Worker, kind: str, rows: CleanRows, made: MadeRows) -> Answers:
    """Has the judge and the held-out models look at the made rows, and at their clean rows where these are attacked."""
    judge = worker.judge
    if judge is None or not len(made):
        return Answers()
    if kind != ADVERSARIAL:
        return Answers(judge.logits(made.pixels))
    return Answers(
        made=judge.logits(made.pixels),
        clean=judge.logits(rows.pixels),
        again=judge.logits(made.pixels, seed=1) if judge.stochastic else None,
        transfer=transfer_of(
            worker.held_out,
            made.pixels,
            rows.pixels,
            parents=made.parents,
            labels=rows.labels[made.parents],
            targets=targets_of(made),
        ),
    )


def targets_of(made: MadeRows) -> NDArray[np.int64] | None:
    """Classes that targeted attacks aimed at."""
    targets = made.columns.get("target_label")
    return None if targets is None else np.asarray(targets, np.int64)
