"""Throughput section of a report: speed of the run, and how busy its stages were."""

from __future__ import annotations

from hardset.pipeline.reporting.charts import bar
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, aside, table
from hardset.pipeline.reporting.wording import number, percent
from hardset.pipeline.shards.bottleneck import bound_sentence
from hardset.schemas.records.throughput import Busy

_STAGES = {"read": "Source: read", "device": "Device", "encode": "Sink: encode", "write": "Sink: write"}
_MOST_ACTORS = 20


def throughput(content: Content) -> Markup | None:
    """The limiting stage of the run, and how busy each stage was; None if the run measured nothing."""
    found = content.statistics.manifest.throughput
    if found is None:
        return None
    everyone = f"All {number(len(found.actors))}" if len(found.actors) > 1 else "The only one"
    rows: list[list[Child]] = [[everyone, number(found.rows), f"{found.rows_per_s:,.1f}", *_shares(found.busy)]]
    few = found.actors if 1 < len(found.actors) <= _MOST_ACTORS else ()
    rows += [
        [actor.actor, number(actor.rows), f"{actor.rows / max(actor.seconds, 1e-3):,.1f}", *_shares(actor.busy)]
        for actor in few
    ]
    columns = (
        TableColumn("Actor"),
        TableColumn("Rows", figures=True),
        TableColumn("Rows/s", figures=True),
        *(TableColumn(name, figures=True) for name in _STAGES.values()),
    )
    note = (
        "Share of the time between an actor's first and last shard in which each stage held a shard. Stages of several "
        "shards overlap, so the shares may add up to more than 100 %; the stage that limited the run is near 100 %."
    )
    return join(
        element("p", bound_sentence(found)),
        table("How busy the actors' stages were", columns, rows),
        element("p", note, class_="soft"),
    )


def _shares(busy: Busy) -> list[Child]:
    return [aside(percent(share), bar(share)) for share in busy.model_dump().values()]
