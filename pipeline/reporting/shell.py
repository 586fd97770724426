"""Frame of every report: one self-contained HTML file without network access or fonts, whole without its script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from hardset.pipeline.reporting.markup import Child, Markup, element, join, text


@dataclass(frozen=True)
class Chapter:
    """A heading with its anchor and content."""

    anchor: str
    heading: str
    body: Markup


def html_page(*, title: str, heading: str, lead: Child, top: Child, chapters: Sequence[Chapter], version: str) -> str:
    """HTML of a report. Deterministic. `top`: content before the first chapter."""
    main = element("main", top, [_section(chapter) for chapter in chapters], id="main", tabindex=-1)
    rooms = files("hardset.pipeline.reporting")
    style, script = (rooms.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = Template(rooms.joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=text(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        body=element("div", _header(heading, lead, chapters), main, _footer(version), class_="page"),
    )


def _hash(text: str) -> str:
    """Source expression of a content security policy for an inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _header(heading: str, lead: Child, chapters: Sequence[Chapter]) -> Markup:
    links = [element("li", element("a", chapter.heading, href=f"#{chapter.anchor}")) for chapter in chapters]
    return element(
        "header",
        element("h1", heading),
        element("p", lead, class_="lead"),
        element("nav", element("ul", links), aria_label="Sections"),
    )


def _section(chapter: Chapter) -> Markup:
    heading = element("h2", chapter.heading, id=chapter.anchor)
    return element("section", heading, chapter.body, aria_labelledby=chapter.anchor)


def _footer(version: str) -> Markup:
    made = element("p", f"Made by hardset {version}".strip() + ". hardset verify audits the files.")
    return element("footer", join(made))
