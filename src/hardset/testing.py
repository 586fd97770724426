"""Conformance kits: what holds an extension, built in or of one's own, to the laws of hardset.

docs/extending.md shows them in a test.
"""

from hardset.pipeline.testing.faults import NonconformityError
from hardset.pipeline.testing.recipe_example import RecipeExample
from hardset.pipeline.testing.recipes import check_recipe, recipe_checks
from hardset.pipeline.testing.source_example import SampleRow, SourceExample
from hardset.pipeline.testing.sources import check_source, source_checks

__all__ = [
    "NonconformityError",
    "RecipeExample",
    "SampleRow",
    "SourceExample",
    "check_recipe",
    "check_source",
    "recipe_checks",
    "source_checks",
]
