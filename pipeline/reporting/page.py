"""The report as one HTML file that needs nothing else: no network, no scripts, no fonts."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template

from pipeline.reporting.budgets import budgets
from pipeline.reporting.examples import Candidates, CleanPixels, load
from pipeline.reporting.gallery import gallery
from pipeline.reporting.markup import Markup, element, join, text
from pipeline.reporting.provenance import provenance
from pipeline.reporting.sections import (
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
from pipeline.reporting.statistics import gather
from pipeline.reporting.throughput import throughput
from pipeline.reporting.transfer import transfer
from pipeline.storage import Folder
from schemas.records import Manifest

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


def read_content(folder: Folder, manifest: Manifest, clean: CleanPixels) -> Content:
    """Figures and example rows of a run: one pass over a few columns, then the examples' rows alone."""
    candidates = Candidates()
    statistics = gather(folder, manifest, candidates.watch)
    examples = {
        recipe.recipe_id: load(folder, manifest, candidates.chosen(recipe.recipe_id), clean)
        for recipe in statistics.recipes
    }
    return Content(statistics, examples)


def page(content: Content, sections: tuple[Section, ...] = SECTIONS) -> str:
    """The HTML of a report. The same content gives the same text."""
    manifest = content.statistics.manifest
    drawn = [(section, body) for section in sections if (body := section.build(content))]
    main = element(
        "main",
        key_figures(content),
        warnings(content),
        [_section(section, body) for section, body in drawn],
        id="main",
        tabindex=-1,
    )
    title = f"{manifest.job.get('name', 'Dataset')}: hardset report"
    rooms = files("pipeline.reporting")
    style = rooms.joinpath("page.css").read_text(encoding="utf-8")
    template = Template(rooms.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=text(title),
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        body=element(
            "div", _header(content, [section for section, _ in drawn]), main, _footer(manifest), class_="page"
        ),
    )


def _header(content: Content, sections: list[Section]) -> Markup:
    manifest = content.statistics.manifest
    links = [element("li", element("a", section.heading, href=f"#{section.anchor}")) for section in sections]
    return element(
        "header",
        element("h1", str(manifest.job.get("name", "Dataset"))),
        element(
            "p",
            element("span", manifest.status, class_=f"state state-{manifest.status}"),
            " Hardened dataset, run ",
            element("code", manifest.run_id),
            class_="lead",
        ),
        element("nav", element("ul", links), aria_label="Sections"),
    )


def _section(section: Section, body: Markup) -> Markup:
    heading = element("h2", section.heading, id=section.anchor)
    return element("section", heading, body, aria_labelledby=section.anchor)


def _footer(manifest: Manifest) -> Markup:
    version = manifest.environment.get("hardset", "")
    made = element("p", f"Made by hardset {version}".strip() + ". hardset verify audits the files.")
    return element("footer", join(made))
