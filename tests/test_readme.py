"""What the README says can be copied and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hardset.jobs.app import VERBS
from hardset.jobs.terminal.console import Exit
from hardset.schemas.reading.loading import parse_job

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_job_file_is_valid() -> None:
    (block,) = blocks("yaml")
    job = parse_job(yaml.safe_load(block))
    assert [recipe.kind for recipe in job.recipes] == ["attack", "attack", "augment", "sample"]


@pytest.mark.parametrize("snippet", blocks("python"), ids=["hardset", "files", "duckdb", "training"])
def test_the_snippets_run(snippet: str, small_dataset: Path, tmp_path: Path) -> None:
    """The table of readers is run where what they see is compared, in tests/nights/test_newest_rows.py."""
    code = snippet.replace("demo/out", str(small_dataset))
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["PYTHONFAULTHANDLER"] = "1"  # a crash of a library tells where
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "warn" not in done.stderr.lower()
    assert done.stdout.strip() or "print(" not in snippet


def test_the_training_script_is_short_and_mixes_clean_and_made_rows() -> None:
    (script,) = [block for block in blocks("python") if "backward()" in block]
    assert len([line for line in script.splitlines() if line.strip()]) <= 15
    assert all(kind in script for kind in ("clean", "adversarial", "generated"))


def test_every_command_and_exit_code_is_there() -> None:
    for verb in VERBS:
        name = verb.name
        assert re.search(rf"`(hardset )?{name}\b", README), name
    for code in Exit:
        assert f"\n| {int(code)} |" in README
