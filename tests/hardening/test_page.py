"""The page on hardening: its job files are jobs, its tables those of the kept figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from benchmarks.hardening import filled
from benchmarks.hardening_cifar import table

from hardset.schemas.reading.loading import parse_job

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hardening.md").read_text(encoding="utf-8")


def test_its_job_is_a_job():
    first, part = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    job = parse_job(first)
    assert job.harden is not None and job.harden.rounds == 10
    parse_job({**first, **part})


def test_its_tables_are_what_the_figures_give():
    figures = DOCS / "benchmarks" / "hardening.json"
    if not figures.exists():
        pytest.skip("no figures of benchmarks.hardening are kept")
    assert filled(PAGE, json.loads(figures.read_text(encoding="utf-8"))) == PAGE


def test_its_table_of_photographs_is_what_the_figures_give():
    figures = DOCS / "benchmarks" / "hardening_cifar.json"
    if not figures.exists():
        pytest.skip("no figures of benchmarks.hardening_cifar are kept")
    assert table(json.loads(figures.read_text(encoding="utf-8"))["cifar"]["lines"]) in PAGE


def test_the_table_gives_mean_and_spread_and_says_what_is_missed():
    line = {"clean": 96.0, "own_shard": 90.0, "clean_shard": 80.0, "pgd": 64.0, "worst": 60.0, "shifted": 2.0}
    lines = {
        "loop_10/0": line | {"gradients": 100, "cpu_seconds": 1.0},
        "loop_10/1": line | {"pgd": 62.0, "gradients": 100, "cpu_seconds": 1.0},
        "pgd_at/0": line | {"own_shard": None, "pgd": 71.0, "gradients": 190, "cpu_seconds": 1.0},
    }
    page = filled(PAGE, {"random": {"lines": lines}})
    assert "| loop of 10 rounds | 96.0 ± 0.0 | 90.0 ± 0.0 | 80.0 ± 0.0 | **63.0 ± 1.4** |" in page
    assert "| loop of 10 rounds: at least 65 % under PGD-20 | 63.0 % | **no** |" in page
    assert "at most half the attack gradients of `pgd_at` | 0.53 of them | **no** |" in page
    assert "| `pgd_at` on the fly | 96.0 | - |" in page
