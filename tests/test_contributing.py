"""What a contributor is told holds: paths, links, linters, and the version that is to be cited."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
SECTIONS = re.findall(
    r"^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d\d-\d\d)\)$",
    (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
"""Version and date of every section of the changelog, newest first."""


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_paths_and_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:pipeline|schemas|jobs|tests|benchmarks|docs|examples)/[\w/.]*)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    lists = re.findall(r"`([A-Z_]+)` (?:in|of) `((?:pipeline|schemas|jobs)/[\w/]+\.py)`", text)
    assert len(lists) > 4
    for name, path in lists:
        assert re.search(rf"^{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), f"{name} in {path}"


def test_the_hooks_run_the_linters_of_make_lint() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe
    lines = re.findall(r"\$\(BIN\)/(.*)", recipe[1])
    linters = {line.removesuffix(".").replace("--check", "").strip() for line in lines}
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    entries = {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in hooks["hooks"]}
    assert hooks["repo"] == "local" and {hook["language"] for hook in hooks["hooks"]} == {"system"}
    assert entries == linters


def test_the_citation_is_that_of_the_last_release() -> None:
    released = [(version, date) for version, date in SECTIONS if date != "unreleased"]
    assert (CITATION["version"], CITATION["date-released"]) == released[0]
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)


def test_the_package_has_the_version_of_the_newest_section() -> None:
    version, date = SECTIONS[0]
    assert PROJECT["version"] == (f"{version}.dev0" if date == "unreleased" else version)
    assert [version for version, date in SECTIONS[1:] if date == "unreleased"] == []


def test_the_citation_says_what_the_package_says() -> None:
    assert (CITATION["title"], CITATION["license"]) == (PROJECT["name"], PROJECT["license"])
    assert CITATION["keywords"] == PROJECT["keywords"]
    assert CITATION["abstract"] == PROJECT["description"]
