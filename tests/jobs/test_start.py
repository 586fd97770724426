"""Help, version and completion: they come at once, load no library of the work, and tell of every verb."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hardset.jobs.app import VERBS, Group, app
from tests.support import hardset, last_json

HEAVY = ("torch", "ray", "cv2", "pyarrow", "numpy", "fsspec")
"""What help and version can do without."""
WORK = ("torch", "ray", "cv2")
"""What verbs that only read a dataset can do without: 2 s of imports."""
LOADED = """
import contextlib, io, json, sys
from hardset.jobs.app import run
loaded = {}
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = run(line)
    assert code == 0 and told.getvalue(), line
    loaded[" ".join(line)] = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps(loaded))
"""


def libraries_loaded(lines: list[list[str]], libraries: tuple[str, ...]) -> dict[str, list[str]]:
    """Those of `libraries` that each command line has loaded when it is done, where there are any."""
    command = [sys.executable, "-c", LOADED, json.dumps(lines), json.dumps(libraries)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return {line: names for line, names in json.loads(done.stdout).items() if names}


def test_help_and_version_load_no_library_of_the_work() -> None:
    lines = [["--version"], ["--help"], *([verb.name, "--help"] for verb in VERBS)]
    assert libraries_loaded(lines, HEAVY) == {}


def test_verbs_that_read_load_nothing_that_makes_rows(small_dataset: Path, tmp_path: Path) -> None:
    out = str(small_dataset)
    row_id = last_json(hardset("show", out, "--limit", "1", "--columns", "row_id", "--json"))["rows"][0]["row_id"]
    lines = [
        *(["status", out], ["runs", out], ["explain", out, row_id], ["diff", out, out]),
        *(["show", out, "--png", str(tmp_path / "rows.png")], ["report", out, "--to", str(tmp_path / "report.html")]),
    ]
    assert libraries_loaded(lines, WORK) == {}


def test_the_help_shows_every_verb_below_its_group() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    sections = {group: told.split(f"─ {group} ─")[1].split("╰")[0] for group in Group}
    for verb in VERBS:
        assert re.search(rf"│ {verb.name} ", sections[verb.group]), verb.name


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_ends_with_an_example_that_can_be_typed(verb: object) -> None:
    assert verb in VERBS
    told = " ".join(CliRunner().invoke(app, [verb.name, "--help"], env={"COLUMNS": "200"}).output.split())
    assert told.endswith(f"Example: {verb.example}")
    program, name, *arguments = shlex.split(verb.example)
    assert (program, name) == ("hardset", verb.name)
    command = typer.main.get_command(app).commands[verb.name]  # type: ignore[attr-defined]
    command.make_context(name, arguments)  # raises for options and values that there are not


def test_brackets_in_a_docstring_are_no_markup() -> None:
    for verb in VERBS:
        extras = re.findall(r"pip install 'hardset\[\w+\]'", verb.function.__doc__ or "")
        told = " ".join(CliRunner().invoke(app, [verb.name, "--help"], env={"COLUMNS": "200"}).output.split())
        assert all(extra in told for extra in extras), verb.name


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_help_texts_are_shown_as_they_are_written(verb: object) -> None:
    """Nothing is lost to markup, such as brackets: neither of the verb's own text nor of any argument's."""
    assert verb in VERBS
    told = CliRunner().invoke(app, [verb.name, "--help"], env={"COLUMNS": "400"}).output
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", told).split())
    command = typer.main.get_command(app).commands[verb.name]  # type: ignore[attr-defined]
    texts = inspect.cleandoc(verb.function.__doc__ or "").split("\n\n")
    texts += [one.help for one in command.params if getattr(one, "help", None)]
    assert len(texts) > 1
    assert [text for text in texts if " ".join(text.split()) not in shown] == []


def test_the_folder_is_on_the_import_path_of_verbs_that_load_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("from torch import nn\ndef net():\n    return nn.Flatten()\n")
    job = {
        "name": "own",
        "source": {"format": "digits", "limit": 20},
        "model": {"factory": "own:net", "classes": 10},
        "recipes": [{"kind": "attack", "name": "fgsm", "eps": "8/255"}],
        "output": {"path": str(tmp_path / "out")},
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    before = list(sys.path)
    done = hardset("plan", "job.yaml")
    assert done.returncode == 0, done.stderr
    assert sys.path == before
    assert {verb.name for verb in VERBS if verb.loads} == {
        *("attacks", "augmentations", "doctor", "init", "plan"),
        *("generate", "train-gan", "evaluate", "harden", "verify", "replay"),
    }


COMPLETE = """
source "$HOME/.bash_completions/hardset.sh"
COMP_WORDS=(hardset {words})
COMP_CWORD={at}
_hardset_completion hardset
echo "${{COMPREPLY[@]}}"
"""


def test_completion_installs_itself_and_completes(tmp_path: Path) -> None:
    (tmp_path / "hardset").write_text(
        f"#!{sys.executable}\nfrom hardset.jobs.app import main\nmain()\n", encoding="utf-8"
    )
    (tmp_path / "hardset").chmod(0o755)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        ["hardset", "--install-completion", "bash"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for words, at, wanted in (("ev", 1, "evaluate"), ("generate --max-m", 2, "--max-minutes")):
        script = COMPLETE.format(words=words, at=at)
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.split() == [wanted], done.stderr
