"""What the report of a run is made from, and what a section is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hardset.pipeline.reporting.embedding import MOST_IMAGES
from hardset.pipeline.reporting.examples import Example, Image
from hardset.pipeline.reporting.markup import Markup
from hardset.pipeline.reporting.wording import clipped, recipe_title
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics, Statistics
from hardset.schemas.records.summary import Summary


@dataclass(frozen=True)
class LostRow:
    """A row in quarantine."""

    source_key: str
    pixels: Image | None
    """Its clean pixels as the source has them now; None where they cannot be read."""


@dataclass(frozen=True)
class Content:
    """Content of a run's report."""

    statistics: Statistics
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """Example rows by recipe id."""
    history: tuple[Summary, ...] = ()
    """Finished runs of the dataset up to this one, the newest last."""
    lost: Mapping[tuple[str, str], tuple[LostRow, ...]] = field(default_factory=dict)
    """First rows in quarantine by (stage, class of the error)."""
    images: int = MOST_IMAGES
    """Maximum number of images of the examples and of the rows in quarantine."""


@dataclass(frozen=True)
class Section:
    """A heading with its anchor, and the function that builds its content."""

    anchor: str
    heading: str
    build: Callable[[Content], Markup | None]


def numbered(recipe: RecipeStatistics) -> str:
    """Numbered title, as `1. PGD, Linf, eps 8/255`."""
    return f"{recipe.position + 1}. {clipped(recipe_title(recipe.text))}"
