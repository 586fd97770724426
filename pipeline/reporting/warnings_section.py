"""Warnings of a report with their remedies, first on the page, and the flags of rows behind them."""

from __future__ import annotations

from hardset.pipeline.judging.masking import flag_counts
from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.notices import Notice, notices
from hardset.pipeline.reporting.tables import TableColumn, aside, detail, table
from hardset.schemas.rows.flags import FLAGS


def warnings(content: Content) -> Markup | None:
    """All warnings and notes, those of the run among them; None without any."""
    manifest = content.statistics.manifest
    found = [*(of_sentence(text) for text in manifest.warnings), *notices(content.statistics)]
    found.sort(key=lambda notice: not notice.warning)
    return element("ul", [drawn(notice) for notice in found], class_="notices") if found else None


def of_sentence(text: str) -> Notice:
    """A warning whose remedy is what stands behind its last semicolon."""
    said, semicolon, remedy = text.removesuffix(".").rpartition("; ")
    return Notice(f"{said}.", True, f"{remedy[0].upper()}{remedy[1:]}.") if semicolon and remedy else Notice(text, True)


def drawn(notice: Notice) -> Markup:
    """List item of a notice, its remedy on a line of its own."""
    remedy = element("p", element("strong", "What to do: "), notice.remedy, class_="remedy") if notice.remedy else None
    word = notice.about + ": " if notice.about else "Warning: " if notice.warning else "Note: "
    return element("li", element("strong", word), notice.text, remedy, class_="warning" if notice.warning else None)


def signals(content: Content) -> Markup | None:
    """Flags that attacked rows carry, by recipe; None where the run does not warn or no row has a flag."""
    statistics = content.statistics
    columns = (TableColumn("Recipe"), TableColumn("Flag"), TableColumn("Attacked rows", figures=True))
    rows: list[list[Child]] = [
        [numbered(recipe), detail(flag, FLAGS[flag].meaning), aside(f"{count:,}", f"of {recipe.counts.attacked:,}")]
        for recipe in statistics.attacks
        for flag, count in flag_counts(recipe.counts).items()
    ]
    if not rows or not statistics.manifest.warnings:
        return None
    text = "Signs of masked gradients or of attacks that could not work, counted over the attacked rows."
    return join(element("p", text, class_="soft"), table("Flags that attacked rows carry", columns, rows))
