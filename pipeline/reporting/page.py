"""Report of a run: its sections in the common page frame."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.dataset.records.ledger import oldest_first, summaries
from hardset.pipeline.reporting.attack_sections import budgets, transfer
from hardset.pipeline.reporting.candidates import Candidates
from hardset.pipeline.reporting.change_charts import margins, norms
from hardset.pipeline.reporting.class_table import classes
from hardset.pipeline.reporting.confusion_section import confusion
from hardset.pipeline.reporting.content import Content, LostRow, Section
from hardset.pipeline.reporting.embedding import MOST_IMAGES
from hardset.pipeline.reporting.examples import CleanPixels, load
from hardset.pipeline.reporting.gallery import gallery, most_rows
from hardset.pipeline.reporting.history_section import history
from hardset.pipeline.reporting.key_figures import key_figures
from hardset.pipeline.reporting.losses_section import losses
from hardset.pipeline.reporting.markup import element, join
from hardset.pipeline.reporting.provenance_section import provenance
from hardset.pipeline.reporting.recipe_cards import recipe_cards
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.throughput_section import throughput
from hardset.pipeline.reporting.warnings_section import signals, warnings
from hardset.pipeline.statistics.recipe_statistics import Statistics, gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest
from hardset.schemas.records.summary import Summary

SECTIONS: tuple[Section, ...] = (
    Section("signals", "Flags", signals),
    Section("recipes", "Recipes", recipe_cards),
    Section("examples", "Examples", gallery),
    Section("classes", "Classes", classes),
    Section("confusion", "Confusion", confusion),
    Section("budgets", "Budgets", budgets),
    Section("transfer", "Transfer", transfer),
    Section("margins", "Margins", margins),
    Section("norms", "Size of the changes", norms),
    Section("losses", "Rows that are missing", losses),
    Section("history", "History", history),
    Section("throughput", "Throughput", throughput),
    Section("provenance", "Provenance", provenance),
)
_MOST_LOST = 12
"""Maximum number of pictures of rows in quarantine."""


def read_content(folder: Folder, manifest: Manifest, clean: CleanPixels, images: int = MOST_IMAGES) -> Content:
    """Reads statistics and examples of a run: one pass over a few columns, then only the examples' rows.

    `images`: maximum number of pictures.
    """
    candidates = Candidates()
    statistics = gather(folder, manifest, candidates.watch)
    lost = _lost(statistics, clean)
    left = images - sum(len(rows) for rows in lost.values())
    most = most_rows([recipe.kind for recipe in statistics.recipes], left)
    examples = {
        recipe.recipe_id: load(folder, manifest, candidates.to_show(recipe.recipe_id, rows), clean)
        for recipe, rows in zip(statistics.recipes, most, strict=True)
    }
    return Content(statistics, examples, _history(folder, manifest), lost, images)


def _lost(statistics: Statistics, clean: CleanPixels) -> dict[tuple[str, str], tuple[LostRow, ...]]:
    """First rows in quarantine by reason, with their pictures where the source still gives them."""
    found: dict[tuple[str, str], tuple[LostRow, ...]] = {}
    left = _MOST_LOST
    for reason in statistics.quarantine:
        first = reason.first[:left]
        left -= len(first)
        found[reason.stage, reason.error_class] = tuple(
            LostRow(row["source_key"] or "", clean(output, dict(row))) for output, row in first
        )
    return found


def _history(folder: Folder, manifest: Manifest) -> tuple[Summary, ...]:
    """Finished runs of the folder up to this one, the newest last."""
    runs = oldest_first(summaries(folder))
    ids = [run.run_id for run in runs]
    return tuple(runs[: ids.index(manifest.run_id) + 1]) if manifest.run_id in ids else ()


def page(content: Content, sections: tuple[Section, ...] = SECTIONS, further: Sequence[Chapter] = ()) -> str:
    """HTML of a report. Deterministic. `further`: chapters after the run's warnings, before its sections."""
    manifest = content.statistics.manifest
    drawn = [Chapter(s.anchor, s.heading, body) for s in sections if (body := s.build(content))]
    name = str(manifest.job.get("name", "Dataset"))
    return html_page(
        title=f"{name}: hardset report",
        heading=name,
        lead=join(
            element("span", manifest.status, class_=f"state state-{manifest.status}"),
            " Hardened dataset, run ",
            element("code", manifest.run_id),
        ),
        top=join(warnings(content), key_figures(content)),
        chapters=[*further, *drawn],
        version=manifest.environment.get("hardset", ""),
    )
