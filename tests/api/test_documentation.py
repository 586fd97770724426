"""What docs/python.md and the docstrings show runs, in a folder where `hardset demo` has been."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import hardset

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
FUNCTIONS = [name for name in hardset.__all__ if callable(getattr(hardset, name)) and name.islower()]


@pytest.mark.usefixtures("callers_ray")
def test_the_snippets_of_the_page_run_in_its_order(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo)
    seen: dict[str, object] = {}
    for number, snippet in enumerate(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)):
        exec(compile(snippet, f"docs/python.md, snippet {number}", "exec"), seen)
        assert capsys.readouterr().out.strip(), f"snippet {number} prints nothing"
    assert (seen["ended"].status, seen["again"].status) == ("complete", "nothing to do")  # type: ignore[attr-defined]
    assert seen["stopped"].status == "stopped"  # type: ignore[attr-defined]
    assert seen["verified"].rejudged and not seen["verified"].faults  # type: ignore[attr-defined]


@pytest.mark.usefixtures("callers_ray")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_runs(name: str, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    function = getattr(hardset, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert test.examples, f"{name} has no example"
    told: list[str] = []
    result = doctest.DocTestRunner().run(test, out=told.append)
    assert result.failed == 0, "".join(told)


def test_the_page_names_every_function() -> None:
    for name in FUNCTIONS:
        assert f"| `{name}(" in PAGE
