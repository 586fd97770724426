"""docs/evaluation.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from hardset.schemas.job.evaluation import parse_evaluation

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_job_is_a_job():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = parse_evaluation(yaml.safe_load(block))
    assert job.labels[-1] == "pgd l2"
    assert job.models[1].hardened_from == "plain"
