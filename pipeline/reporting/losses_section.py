"""Section of a report on missing rows: quarantine by reason, with pictures, and failed shards."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.content import Content, LostRow
from hardset.pipeline.reporting.embedding import MOST_BYTES, MOST_IMAGES, embedded
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import TableColumn, detail, table
from hardset.pipeline.reporting.wording import clipped
from hardset.pipeline.statistics.recipe_statistics import Statistics

MOST_REASONS = 30


def losses(content: Content) -> Markup | None:
    """Quarantined rows and failed shards."""
    tables = [_quarantine(content), _failures(content.statistics)]
    return join(tables) if any(tables) else None


def _quarantine(content: Content) -> Markup | None:
    statistics = content.statistics
    if not statistics.quarantine:
        return None
    columns = (
        TableColumn("Reason"),
        TableColumn("Stage"),
        TableColumn("Rows", figures=True),
        TableColumn("First such rows"),
    )
    rows: list[list[Child]] = [
        [
            clipped(reason.error_class),
            reason.stage,
            f"{reason.rows:,}",
            element(
                "div",
                detail(clipped(reason.source_key, 200), clipped(reason.message, 200)),
                _pictures(content.lost.get((reason.stage, reason.error_class), ())),
                class_="wrap",
            ),
        ]
        for reason in statistics.quarantine[:MOST_REASONS]
    ]
    return table("Rows in quarantine, by reason", columns, rows)


def _pictures(rows: Sequence[LostRow]) -> Markup | None:
    """Small pictures of rows in quarantine, as the source has them now, and words where there is none."""
    if not rows:
        return None
    most = MOST_BYTES // MOST_IMAGES
    items = [
        element("img", src=embedded(row.pixels, most).uri, alt=f"Source row {clipped(row.source_key)}")
        if row.pixels is not None
        else element("span", "no picture", title=clipped(row.source_key))
        for row in rows
    ]
    return element("div", items, class_="lost")


def _failures(statistics: Statistics) -> Markup | None:
    failures = statistics.manifest.failures
    if not failures:
        return None
    columns = (TableColumn("Shard"), TableColumn("Attempts", figures=True), TableColumn("Last error"))
    rows: list[list[Child]] = [
        [f"{failure.index:,}", f"{failure.attempts:,}", element("span", clipped(failure.error, 300), class_="wrap")]
        for failure in failures[:MOST_REASONS]
    ]
    return table("Shards that failed", columns, rows)
