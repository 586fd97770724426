"""Tables in the docs are those of the code."""

from __future__ import annotations

from pathlib import Path

from schemas.documentation import column_table, flag_table

DOCS = Path(__file__).parents[1] / "docs"


def test_the_column_table_is_the_contracts() -> None:
    assert column_table() in (DOCS / "output.md").read_text(encoding="utf-8")


def test_the_flag_table_is_the_contracts() -> None:
    assert flag_table() in (DOCS / "output.md").read_text(encoding="utf-8")
