"""Pictures of one row: before, after, the amplified difference, and its expandable lineage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hardset.pipeline.reporting.enlarging import amplified_difference, data_uri
from hardset.pipeline.reporting.markup import Child, Markup, element


def compared(
    clean: NDArray[np.uint8],
    made: NDArray[np.uint8],
    caption: Child,
    facts: Sequence[tuple[str, str]],
    *,
    of: str,
    seen: str,
) -> Markup:
    """A figure of one row; images uint8 H x W x C. `of`, `seen`: its class and its prediction, for screen readers."""
    largest = int(np.abs(made.astype(np.int16) - clean).max())
    factor = max(1, 127 // largest) if largest else 1
    change = amplified_difference(clean, made, factor)
    images = [
        element("img", src=data_uri(clean), alt=f"Before, {of}"),
        element("img", src=data_uri(made), alt=f"After, {of}, {seen}"),
        element("img", src=data_uri(change, difference=True), alt=f"Difference, amplified {factor} times"),
    ]
    return element(
        "figure", element("div", images, class_="row"), element("figcaption", caption, lineage(facts, amplified=factor))
    )


def lineage(facts: Sequence[tuple[str, str]], *, amplified: int = 0) -> Markup:
    """Expandable lineage of a row; works without scripts, by mouse and by keyboard."""
    shown = [*facts, ("Difference", f"amplified {amplified} times")] if amplified else facts
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in shown]
    return element("details", element("summary", "Lineage"), element("dl", pairs), class_="lineage")
