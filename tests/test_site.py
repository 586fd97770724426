"""Every page has its place on the site and in the README, and every link between files leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, which names functions, as data."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
SITE = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)


def listed(node: object) -> list[str]:
    """Pages of the navigation, in order."""
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node
    return [page for child in children for page in listed(child)]  # type: ignore[union-attr]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).lower() for text in headings)
    return {re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link.partition("#")
        if ":" in target:
            continue
        there = page if not target else page.parent / target
        assert there.exists(), link
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), link


def test_every_page_has_one_place_in_the_navigation() -> None:
    outside = {"index.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
    ours = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    pages = listed(SITE["nav"])
    assert len(pages) == len(set(pages))
    assert set(pages) == ours | outside


def test_the_readme_lists_the_pages_as_the_navigation_does() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^\* \*\*([\w-]+)\*\*: (.*?)(?=^\* \*\*|\n\n)", readme, re.MULTILINE | re.DOTALL))
    for section in SITE["nav"][1:]:
        ((title, children),) = section.items()
        pages = [page for page in children if isinstance(page, str) and (DOCS / page).exists()]
        assert LINK.findall(parts[title]) == [f"docs/{page}" for page in pages]
