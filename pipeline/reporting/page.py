"""Report of a run: its sections in the common page frame."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.attack_sections import budgets, transfer
from hardset.pipeline.reporting.candidates import Candidates
from hardset.pipeline.reporting.examples import CleanPixels, load
from hardset.pipeline.reporting.gallery import gallery, most_rows
from hardset.pipeline.reporting.markup import element, join
from hardset.pipeline.reporting.provenance_section import provenance
from hardset.pipeline.reporting.row_pictures import MOST_IMAGES
from hardset.pipeline.reporting.sections import (
    Content,
    Section,
    classes,
    key_figures,
    losses,
    margins,
    norms,
    recipes,
    signals,
    warnings,
)
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.throughput_section import throughput
from hardset.pipeline.statistics.recipe_statistics import gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest

SECTIONS: tuple[Section, ...] = (
    Section("signals", "Warnings", signals),
    Section("recipes", "Recipes", recipes),
    Section("budgets", "Budgets", budgets),
    Section("transfer", "Transfer", transfer),
    Section("examples", "Examples", gallery),
    Section("classes", "Classes", classes),
    Section("margins", "Margins", margins),
    Section("norms", "Size of the changes", norms),
    Section("losses", "Rows that are missing", losses),
    Section("throughput", "Throughput", throughput),
    Section("provenance", "Provenance", provenance),
)


def read_content(folder: Folder, manifest: Manifest, clean: CleanPixels, images: int = MOST_IMAGES) -> Content:
    """Reads statistics and examples of a run: one pass over a few columns, then only the examples' rows.

    `images`: how many the examples may take.
    """
    candidates = Candidates()
    statistics = gather(folder, manifest, candidates.watch)
    most = most_rows([recipe.kind for recipe in statistics.recipes], images)
    examples = {
        recipe.recipe_id: load(folder, manifest, candidates.to_show(recipe.recipe_id, rows), clean)
        for recipe, rows in zip(statistics.recipes, most, strict=True)
    }
    return Content(statistics, examples)


def page(content: Content, sections: tuple[Section, ...] = SECTIONS, further: Sequence[Chapter] = ()) -> str:
    """HTML of a report. Deterministic. `further`: chapters after the run's sections."""
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
        top=join(key_figures(content), warnings(content)),
        chapters=[*further, *drawn],
        version=manifest.environment.get("hardset", ""),
    )
