"""The options that hold figures against a number or an earlier record."""

from __future__ import annotations

from typing import Annotated

import typer

FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="FIGURE=LEAST",
        help="Returns 1 where a figure is lower, such as robust=0.45 or clean=90%; of several models "
        "MODEL:robust=0.45. harden knows clean and robust; evaluate worst_class, corruptions and shift as well.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="BASELINE",
        help="An earlier record (evaluation.json), or its folder. Returns 1 where a figure fell below it.",
    ),
]
Tolerance = Annotated[
    float,
    typer.Option(min=0, max=1, help="How far a figure may fall below the baseline, as a share; 0.01 is one point."),
]
MinCleanAccuracy = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Returns 1, before anything is made, where the model is right on a smaller share of sampled clean rows, "
        "such as 0.5.",
    ),
]
