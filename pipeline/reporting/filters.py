"""Filter bar of a gallery: hidden until the page's script, which alone can filter, takes it into use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.markup import Markup, element


@dataclass(frozen=True)
class Filter:
    """A choice of rows by one field of theirs."""

    field: str
    """Name in the rows' `data-` attributes."""
    label: str
    choices: Sequence[tuple[str, str]]
    """Pairs of a value and its words."""


def filter_bar(filters: Sequence[Filter]) -> Markup | None:
    """Bar for the gallery that follows it; None where no field has two values."""
    useful = [one for one in filters if len(one.choices) > 1]
    if not useful:
        return None
    return element(
        "form",
        [_choice(one) for one in useful],
        element("p", role="status", class_="soft"),
        class_="filters",
        aria_label="Rows to show",
        hidden=True,
    )


def _choice(one: Filter) -> Markup:
    every = element("option", f"All ({len(one.choices):,})", value="")
    options = [element("option", words, value=value) for value, words in one.choices]
    return element("label", f"{one.label} ", element("select", every, options, data_field=one.field))
