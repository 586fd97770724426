"""The transfer section of a report: how often held-out models fall for the rows that were made against another."""

from __future__ import annotations

from hardset.pipeline.judging.transfer import transfer_rates
from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.sections import Content, numbered
from hardset.pipeline.reporting.tables import TableColumn, aside, table
from hardset.pipeline.reporting.wording import percent


def transfer(content: Content) -> Markup | None:
    """Transfer rates by recipe and held-out model; None where no held-out model was asked."""
    rows: list[list[Child]] = [
        [numbered(recipe), name, join(aside(percent(fooled / of), f"{fooled:,} of {of:,}"), bar(fooled / of))]
        for recipe in content.statistics.attacks
        for name, (fooled, of) in transfer_rates(recipe.counts.signals).items()
    ]
    if not rows:
        return None
    columns = (TableColumn("Recipe"), TableColumn("Held-out model"), TableColumn("Fooled", figures=True))
    note = (
        "Of the attacked rows that the held-out model predicted rightly before the attack (for targeted attacks, of "
        "all attacked rows), the share whose stored image it gets wrong (predicts as the target). No attack has seen "
        "these models."
    )
    return join(table("How far the attacks transfer", columns, rows), element("p", note, class_="soft"))
