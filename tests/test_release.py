"""The release workflow builds by make dist, and reads the version where it stands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
FLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))


def test_the_workflow_reads_the_version_of_the_package() -> None:
    (read,) = [step["run"] for step in FLOW["jobs"]["build"]["steps"] if "version=" in step.get("run", "")]
    command = re.search(r"\$\((sed .*)\)", read)
    assert command is not None
    told = subprocess.run(["sh", "-c", command[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert told == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_what_is_published_is_what_make_dist_checked() -> None:
    steps = FLOW["jobs"]["build"]["steps"]
    assert [step["run"].split()[:2] for step in steps if step.get("run", "").startswith("make")] == [["make", "dist"]]
    target = re.search(r"^dist:.*?(?=^\S)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert target is not None and "twine check --strict" in target[0]
    assert FLOW["jobs"]["publish"]["needs"] == "build"
