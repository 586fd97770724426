"""A folder that holds modules of the names that hardset's own rooms have, as every second project does.

Each verb runs from an installed wheel, once with the folder found as the current one, once with PYTHONPATH=. as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installed.conftest import Installed
from tests.ray_head import ray_head

MODEL = {"factory": "pipeline.nets:tiny", "classes": 10}
NETS = """
from jobs import WIDTH
from schemas import SIDE
from torch import nn

def tiny():
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
"""
BROKEN = "raise RuntimeError('a module of the folder was taken for a library')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's project: packages `pipeline` and `jobs`, a module `schemas`, and files named as libraries are."""
    files = {
        "pipeline/__init__.py": "",
        "pipeline/nets.py": NETS,
        "jobs/__init__.py": "WIDTH = 12",
        "schemas.py": "SIDE = 8",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    document: dict[str, Any] = {
        "name": "clash",
        "source": {"format": "digits", "limit": 40},
        "model": MODEL,
        "recipes": [{"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "32/255"}],
        "output": {"path": "out"},
        "run": {"actors": 1, "batch": 64},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(document))
    evaluation = {
        "name": "clash",
        "source": {"format": "digits", "limit": 20},
        "classes": 10,
        "models": [{"name": "tiny", "factory": MODEL["factory"]}],
        "threats": [{"eps": "8/255"}],
        "attacks": [{"name": "fgsm"}],
        "output": {"path": "measured"},
    }
    (tmp_path / "evaluation.yaml").write_text(yaml.safe_dump(evaluation))
    return tmp_path


def last_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}], ids=["plain", "PYTHONPATH=."])
def test_a_plan_is_made(installed: Installed, folder: Path, variables: dict[str, str]) -> None:
    done = installed.run("hardset", "plan", "job.yaml", "--json", folder=folder, **variables)
    assert done.returncode == 0, done.stderr
    assert last_json(done.stdout)["shards"] == 1


def test_generate_makes_rows_and_no_file_of_the_folder_stands_for_a_library(installed: Installed, folder: Path) -> None:
    # Imported by drivers and workers alike; with the folder in front of the path, one of them ends here.
    for library in ("yaml", "pyarrow", "fsspec", "rich", "safetensors"):
        (folder / f"{library}.py").write_text(BROKEN)
    done = installed.run("hardset", "generate", "job.yaml", "--json", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_json(done.stdout)["totals"]["rows_out"] == 40


@pytest.mark.slow
def test_generate_with_the_folder_on_the_python_path(installed: Installed, folder: Path) -> None:
    done = installed.run("hardset", "generate", "job.yaml", "--json", folder=folder, PYTHONPATH=".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}], ids=["plain", "PYTHONPATH=."])
def test_a_model_is_evaluated(installed: Installed, folder: Path, variables: dict[str, str]) -> None:
    done = installed.run("hardset", "evaluate", "evaluation.yaml", "--json", folder=folder, **variables)
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_m_hardset_leaves_the_folder_behind_the_libraries(installed: Installed, folder: Path) -> None:
    (folder / "typer.py").write_text(BROKEN)
    done = installed.run("python", "-m", "hardset", "plan", "job.yaml", folder=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_submitted_job_finds_the_factory_of_the_folders_own_pipeline(installed: Installed, folder: Path) -> None:
    with ray_head(installed.bin / "python") as (address, token):
        line = ("submit", "job.yaml", "--address", address, "--set", f"output.path={folder / 'out'}", "--json")
        done = installed.run("hardset", *line, folder=folder, RAY_AUTH_TOKEN=token)
    assert done.returncode == 0, done.stdout + done.stderr
    told = last_json(done.stdout)
    assert (told["status"], told["result"]["totals"]["rows_out"]) == ("SUCCEEDED", 40)
