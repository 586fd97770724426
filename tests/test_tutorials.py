"""What the tutorials print can be typed: files are written, Python runs, and commands end with 0, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hardset.schemas.reading.loading import parse_job
from tests.sources.making import png, write
from tests.support import hardset

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
BLOCK = re.compile(r"```(python|yaml|bash)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")


def walk(page: str, folder: Path) -> list[str]:
    """Does what a page says in a folder; returns the commands typed."""
    typed = []
    for language, text in BLOCK.findall((TUTORIALS / page).read_text(encoding="utf-8")):
        if named := FILE.match(text):
            write(folder / named[1], text.encode())
        elif language == "python":
            paths = os.pathsep.join(sys.path)  # of this checkout
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", text],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{paths}"},
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-2000:]
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "hardset"
                ended = hardset(*arguments, own_process=page == "photographs.md")
                assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
                typed.append(line)
    return typed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["photographs.md", "curve.md"])
def test_a_tutorial_can_be_typed(page: str, folder: Path) -> None:
    for number in range(40):
        write(folder / "photos" / ("cat", "dog")[number % 2] / f"{number}.png", png(number, 60, 50))
    assert len(walk(page, folder)) >= 2
    assert list(folder.glob("*/report.html"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_keras_tutorial_can_be_typed(folder: Path) -> None:
    assert len(walk("keras.md", folder)) == 2


@pytest.mark.slow
def test_the_training_tutorial_runs(folder: Path) -> None:
    text = (TUTORIALS / "train.md").read_text(encoding="utf-8")
    (folder / "whole.py").write_text("\n".join(block for _, block in BLOCK.findall(text)))
    done = subprocess.run(
        [sys.executable, "whole.py"], cwd=folder, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "trained.safetensors").exists()


def test_the_nightly_job_is_a_job_and_names_what_the_cron_job_has() -> None:
    text = (TUTORIALS / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = [block for language, block in BLOCK.findall(text) if language == "yaml"]
    assert parse_job(yaml.safe_load(block)).name == "photos-nightly"
    parts = list(yaml.safe_load_all((TUTORIALS.parents[1] / "docker" / "cronjob.yaml").read_text(encoding="utf-8")))
    (cron,) = [part for part in parts if part["kind"] == "CronJob"]
    assert f"--from=cronjob/{cron['metadata']['name']} " in text


def test_no_tutorial_is_without_a_test() -> None:
    assert {page.name for page in TUTORIALS.glob("*.md")} == {
        *("photographs.md", "keras.md", "curve.md", "kubernetes.md", "train.md"),
    }
