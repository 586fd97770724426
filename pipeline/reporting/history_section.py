"""Section of a report on the nights of its output: small multiples, and what changed from one to the next."""

from __future__ import annotations

from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.multiples import Multiple, multiples
from hardset.pipeline.reporting.tables import Cell, Figure, TableColumn, detail, table
from hardset.pipeline.reporting.wording import NONE, counted, duration, number, percent, seconds_between, size
from hardset.schemas.records.summary import Summary

MOST_NIGHTS = 30
"""Maximum number of nights that are shown, the newest."""


def history(content: Content) -> Markup | None:
    """The finished runs of the dataset up to this one; None where it is the only one."""
    nights = content.history[-MOST_NIGHTS:]
    if len(nights) < 2:
        return None
    rates = [night.totals.success_rate for night in nights]
    charts = [
        Multiple("Rows", [night.totals.rows_out for night in nights], lambda value: f"{value:,.0f}"),
        Multiple("Attack success", rates, percent, whole=1.0),
        Multiple(
            "Clean accuracy", [night.clean.share if night.clean else None for night in nights], percent, whole=1.0
        ),
        Multiple("Time", [seconds_between(night.started, night.finished) for night in nights], duration),
        Multiple("Size", [night.bytes for night in nights], size),
    ]
    older = len(content.history) - len(nights)
    text = f"{counted(len(nights), 'finished run')} of this output{f', {older:,} older ones aside' if older else ''}."
    text += " Changes are those against the run before."
    return join(
        element("p", text, class_="soft"), multiples(charts, [_name(night) for night in nights]), _table(nights, rates)
    )


def _table(nights: tuple[Summary, ...], rates: list[float | None]) -> Markup:
    columns = (
        TableColumn("Run"),
        TableColumn("What changed"),
        TableColumn("Rows", figures=True),
        TableColumn("Success", figures=True),
        TableColumn("Accuracy", figures=True),
        TableColumn("Time", figures=True),
        TableColumn("Size", figures=True),
    )
    rows: list[list[Cell]] = []
    for night, rate in reversed(list(zip(nights, rates, strict=True))):
        seconds = seconds_between(night.started, night.finished)
        clean = night.clean.share if night.clean else None
        rows.append(
            [
                detail(_name(night), element("code", night.run_id[:8])),
                _changed(night),
                Figure(f"{night.totals.rows_out:,}", night.totals.rows_out),
                Figure(percent(rate), rate),
                Figure(percent(clean), clean),
                Figure(NONE if seconds is None else duration(seconds), seconds),
                Figure(NONE if night.bytes is None else size(night.bytes), night.bytes),
            ]
        )
    return table("Runs, the newest first", columns, rows, sortable=True, folds=True)


def _changed(night: Summary) -> Child:
    """What a run found changed in its source, what it made, and what it lacks."""
    files = night.changes.counts if night.changes else {}
    parts = [f"{number(count)} {kind}" for kind, count in files.items() if count]
    made = f"{counted(night.made, 'shard')} made"
    made += f", {night.taken_over:,} taken over" if night.taken_over else ""
    made += f", {night.failures:,} failed" if night.failures else ""
    found = f"Files: {', '.join(parts)}" if parts else ("No file" if night.changes else "Not compared")
    return element("span", detail(found, made if night.status == "complete" else f"incomplete: {made}"), class_="roomy")


def _name(night: Summary) -> str:
    return night.logical_date or night.finished[:10]
