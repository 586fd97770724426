"""Environment variables are declared once, told in one table, and read nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hardset.schemas.environment import CACHE, KEY_PASSWORD, PREFIX
from hardset.schemas.environment_documentation import environment_table, variables
from hardset.schemas.errors import JobError
from hardset.schemas.limits import Limits
from hardset.schemas.retries import Retries

ROOT = Path(__file__).parents[2]
DECLARED = {variable.name for variable in variables()}
ELSEWHERE = {"HARDSET_ADDRESS", "HARDSET_CHAOS_SEED", "HARDSET_DATA", "HARDSET_IMAGE"}
"""Those of the files in docker/ and of the tests."""


def sources() -> list[Path]:
    return [file for top in ("pipeline", "jobs", "schemas", "examples") for file in (ROOT / top).rglob("*.py")]


def test_no_file_but_the_declarations_names_a_variable_as_a_value() -> None:
    found = {}
    for file in sources():
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if any(re.match(rf"{PREFIX}[A-Z_]*$", text) for text in texts):
            found[str(file.relative_to(ROOT))] = texts
    assert set(found) == {"schemas/environment.py"}


def test_every_variable_that_is_told_of_is_declared_and_in_the_table() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *sources()]
    told = {name for page in pages for name in re.findall(rf"{PREFIX}[A-Z_]+\b", page.read_text(encoding="utf-8"))}
    assert told - ELSEWHERE <= DECLARED
    assert all(f"| `{name}` |" in environment_table() for name in DECLARED)


def test_every_variable_is_read() -> None:
    assert CACHE.read({CACHE.name: ""}) == ""
    assert CACHE.read({}) is None
    for name in DECLARED - {CACHE.name, KEY_PASSWORD.name}:
        with pytest.raises(JobError, match=f"{name}: got 'none'"):
            Limits.from_environment({name: "none"}), Retries.from_environment({name: "none"})
