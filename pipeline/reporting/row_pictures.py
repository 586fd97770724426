"""Pictures of one row: clean, made and their amplified difference, with what is known of the row.

The page's script enlarges them on a click; without scripts the lineage opens all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hardset.pipeline.reporting.embedding import embedded
from hardset.pipeline.reporting.enlarging import amplified_difference
from hardset.pipeline.reporting.examples import Image
from hardset.pipeline.reporting.markup import Child, Markup, element, join

MOST_IMAGES = 200
"""Maximum number of images of a page."""
MOST_BYTES = 3_200_000
"""Maximum size of all images of a page together, as base64, in bytes."""
IMAGE_BYTES = MOST_BYTES // MOST_IMAGES


@dataclass(frozen=True)
class RowPicture:
    """One row as it is shown. Images are uint8 H x W x C."""

    made: Image
    clean: Image | None
    factor: int
    """Amplification of the difference; 0: no difference is shown."""
    heading: str
    """Label and prediction, as `3 → 8`."""
    caption: Child
    of: str
    """Class of the row, for screen readers; `seen` is the prediction."""
    seen: str = ""
    facts: Sequence[tuple[str, str]] = ()
    """What is known of the row, as pairs of name and value."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Values that the row is filtered by, by field."""
    kind: str = "Stored"
    """Name of the made image."""


def drawn(row: RowPicture) -> Markup:
    """List item with the pictures of the row, its caption and its lineage."""
    images = [_image(row.made, row.kind, join(row.of, f", {row.seen}" if row.seen else ""))]
    if row.clean is not None:
        images.insert(0, _image(row.clean, "Clean", row.of))
        if row.factor:
            change = amplified_difference(row.clean, row.made, row.factor)
            times = f"Difference x {row.factor}" if row.factor > 1 else "Difference"
            images.append(_image(change, times, "about mid-grey", difference=True))
    caption = element("figcaption", row.caption, lineage(row.facts))
    figure = element("figure", element("div", images, class_="row"), caption, data_heading=row.heading)
    return element("li", figure, **{f"data_{name}": value for name, value in row.groups.items()})


def _image(pixels: Image, name: str, about: str, *, difference: bool = False) -> Markup:
    form = embedded(pixels, IMAGE_BYTES, difference=difference)
    height, width = pixels.shape[:2]
    return element(
        "img",
        src=form.uri,
        alt=f"{name}, {about}",
        data_name=name,
        data_note=form.note or f"{width} x {height} pixels, exact",
    )


def lineage(facts: Sequence[tuple[str, str]]) -> Markup:
    """Expandable lineage of a row; works without scripts, by mouse and by keyboard."""
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    return element("details", element("summary", "Lineage"), element("dl", pairs), class_="lineage")
