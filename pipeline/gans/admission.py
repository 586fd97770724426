"""Whether a generator's rows deserve their labels: figures of a sample, and the gates that they are held to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from hardset.pipeline.batches import CleanRows, MadeRows, Pixels, Recipe
from hardset.pipeline.gans.assessment import penultimate
from hardset.pipeline.gans.quality import NEAREST, quality
from hardset.pipeline.judging.judge import Classes, seeded
from hardset.schemas.digests import row_seed
from hardset.schemas.job.recipes import Admit
from hardset.schemas.records.admission import Admission

ROWS = 512
"""Number of rows that are sampled: shares are known to 4.5 points."""
FEWEST = 50
"""Number of real rows, and of sampled ones that are left by filters, below which no figure is believed."""
_TELLING = 5
"""Number of rows sampled for a class from which on it may be called unreachable."""


def pilot(recipe: Recipe, classes: int, seed: int, recipe_id: str) -> tuple[MadeRows, Classes]:
    """`ROWS` rows of a recipe, evenly over the classes, and the classes asked for: none that a shard will hold."""
    numbers = np.arange(ROWS, dtype=np.int64)
    keys = tuple(f"pilot#{number}" for number in numbers)
    seeds = [row_seed(run_seed=seed, recipe=recipe_id, source_key=key, variant=0) for key in keys]
    asked = CleanRows(np.zeros((0, 0, 0, 1), np.uint8), numbers % classes, keys, numbers)
    made = recipe.make(asked, np.asarray(seeds, np.int64)[:, None])
    return made, asked.labels[made.parents]


def measured(
    module: nn.Module,
    made: Pixels,
    asked: Classes,
    real: Pixels,
    labels: Classes,
    *,
    position: int,
    names: Sequence[str],
    device: torch.device,
) -> Admission | None:
    """Figures of sampled rows against real ones, uint8 (N, H, W, C) both, with their classes (N,).

    `module`: images in [0, 1], NCHW, to logits; frozen, in eval mode, on `device`. Neighbourhoods are compared on
    equally many rows of both, since more rows cover more. None where there are too few to have neighbourhoods.
    """
    count = min(len(made), len(real))
    if count <= NEAREST:
        return None
    with seeded(device):  # for models that answer at random
        features, logits = penultimate(module, made, device=device)
        real_features, real_logits = penultimate(module, real, device=device)
    found = quality(real_features[:count], features[:count], real_features[:count])
    right = logits.argmax(1).cpu().numpy() == asked
    return Admission(
        recipe=position,
        rows=len(made),
        real=len(real),
        judge=float((real_logits.argmax(1).cpu().numpy() == labels).mean()),
        agreement=float(right.mean()),
        precision=found.precision,
        recall=found.recall,
        density=found.density,
        coverage=found.coverage,
        unreachable=tuple(
            name
            for number, name in enumerate(names)
            if (asked == number).sum() >= _TELLING and not right[asked == number].any()
        ),
    )


def failings(found: Admission, gates: Admit) -> tuple[str, ...]:
    """What falls short, each in a few words; nothing where the generator is admitted."""
    if found.judge < gates.judge:  # nothing that such a model says of the rows is worth repeating
        return (
            f"the model is right on {100 * found.judge:.1f} % of {found.real:,} real rows and cannot judge (wants "
            f"{100 * gates.judge:g} %)",
        )
    short = [
        f"{name} is {value:.2f} (wants {least:g})"
        for name, value, least in (
            ("agreement", found.agreement, gates.agreement),
            ("coverage", found.coverage, gates.coverage),
        )
        if value < least
    ]
    if short and found.unreachable:
        short.append(f"it never reaches {_listed(found.unreachable)}")
    return tuple(short)


def _listed(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"class{'es' if len(names) > 1 else ''} {shown}"


def picture(made: Pixels, asked: Classes, columns: int = 10, lines: int = 20) -> Pixels:
    """Grid of sampled rows, uint8 (H, W, C): a line for each of the first `lines` classes, a pixel between rows."""
    _, height, width, channels = made.shape
    shown = np.unique(asked)[:lines]
    grid = np.full((len(shown) * (height + 1) + 1, columns * (width + 1) + 1, channels), 255, np.uint8)
    for line, number in enumerate(shown):
        for column, image in enumerate(made[asked == number][:columns]):
            top, left = 1 + line * (height + 1), 1 + column * (width + 1)
            grid[top : top + height, left : left + width] = image
    return grid
