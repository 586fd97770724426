"""The house stays as docs/architecture.md draws it: rooms instead of a corridor, and one import name."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
TOPS = ("pipeline", "jobs", "schemas")
MOST_ROOMS = 25
MOST_LOOSE_MODULES = 2


def packages() -> list[Path]:
    """Rooms and sub-rooms of the three folders, the folders themselves included."""
    return sorted(file.parent for top in TOPS for file in (CHECKOUT / top).rglob("__init__.py"))


def test_the_root_of_the_pipeline_holds_rooms_and_hardly_a_module() -> None:
    loose = [file.name for file in (CHECKOUT / "pipeline").glob("*.py") if file.name != "__init__.py"]
    rooms = [folder.name for folder in packages() if folder.parent == CHECKOUT / "pipeline"]
    assert len(loose) <= MOST_LOOSE_MODULES, f"loose modules in pipeline/: {sorted(loose)}"
    assert 0 < len(rooms) <= MOST_ROOMS, f"{len(rooms)} rooms in pipeline/"


def test_every_folder_with_code_is_a_room() -> None:
    with_code = {file.parent for top in TOPS for file in (CHECKOUT / top).rglob("*.py")}
    assert with_code == set(packages())


@pytest.mark.parametrize("room", packages(), ids=lambda room: str(room.relative_to(CHECKOUT)))
def test_the_entrance_of_a_room_is_its_description_alone(room: Path) -> None:
    """Importing one file of a room then imports no other."""
    body = ast.parse((room / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)


@pytest.mark.parametrize("top", TOPS)
def test_the_linter_refuses_an_import_without_the_prefix(top: str) -> None:
    pytest.importorskip("ruff", reason="the linter comes with the extra `lint`")
    lines = ["import {0}", "import {0}.x", "from {0} import x", "from {0}.x import y"]
    assert _banned([line.format(top) for line in lines]) == [1, 2, 3, 4]
    assert _banned([line.format(f"hardset.{top}") for line in lines]) == []


def _banned(lines: list[str]) -> list[int]:
    """Numbers of the lines that ruff finds banned under the project's settings, in a file that stands in pipeline/."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=json", "--select=TID251"]
    command += ["--stdin-filename=pipeline/snippet.py", "-"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False, cwd=CHECKOUT)
    return [finding["location"]["row"] for finding in json.loads(done.stdout)]


def test_no_file_imports_without_the_prefix() -> None:
    found = {}
    for top in (*TOPS, "tests", "benchmarks"):
        for file in (CHECKOUT / top).rglob("*.py"):
            if not file.parent.name.startswith("contract_"):  # made by older commits, whose names they import
                bare = [name for name in _imported(file) if name.partition(".")[0] in TOPS]
                if bare:
                    found[str(file.relative_to(CHECKOUT))] = bare
    assert not found


def _imported(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return names
