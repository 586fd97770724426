"""Pictures of one row: clean, made and their amplified difference, with what is known of the row.

The page's script enlarges them on a click; without scripts the lineage opens all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hardset.pipeline.reporting.embedding import MOST_BYTES, MOST_IMAGES, embedded
from hardset.pipeline.reporting.enlarging import amplified_difference
from hardset.pipeline.reporting.examples import Image
from hardset.pipeline.reporting.markup import Child, Markup, element, join

_MARKED = 2
"""Number of times that the images of a marked row may be as large as those of others."""


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
    marked: bool = False
    """Whether the row is one of those to look at first."""

    @property
    def images(self) -> int:
        """Number of images that show the row."""
        return 1 if self.clean is None else 3 if self.factor else 2


def drawn_rows(groups: Sequence[Sequence[RowPicture]], images: int) -> list[list[Markup]]:
    """List items of the rows of every group, which share the bytes that a page has for `images` images.

    Images of marked rows may be larger than those of others.
    """
    most = MOST_BYTES * images // MOST_IMAGES
    shares = sum(row.images * (_MARKED if row.marked else 1) for rows in groups for row in rows)
    one = most // max(1, shares)
    return [[_drawn(row, one * (_MARKED if row.marked else 1)) for row in rows] for rows in groups]


def _drawn(row: RowPicture, most: int) -> Markup:
    """List item with the pictures of the row, each of at most `most` bytes, its caption and its lineage."""
    images = [_image(row.made, most, row.kind, join(row.of, f", {row.seen}" if row.seen else ""))]
    if row.clean is not None:
        images.insert(0, _image(row.clean, most, "Clean", row.of))
        if row.factor:
            change = amplified_difference(row.clean, row.made, row.factor)
            times = f"Difference x {row.factor}" if row.factor > 1 else "Difference"
            images.append(_image(change, most, times, "about mid-grey", difference=True))
    caption = element("figcaption", row.caption, lineage(row.facts))
    figure = element("figure", element("div", images, class_="row"), caption, data_heading=row.heading)
    return element("li", figure, **{f"data_{name}": value for name, value in row.groups.items()})


def _image(pixels: Image, most: int, name: str, about: str, *, difference: bool = False) -> Markup:
    form = embedded(pixels, most, difference=difference)
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
