"""docs/evaluation.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from hardset.pipeline.evaluation import doubts, reference
from hardset.schemas.job.evaluation import parse_evaluation

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_job_is_a_job():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = parse_evaluation(yaml.safe_load(block))
    assert job.labels[-1] == "pgd l2"
    assert job.models[1].hardened_from == "plain"


def test_every_warning_is_listed():
    source = Path(doubts.__file__).read_text(encoding="utf-8")
    kinds = set(re.findall(r'_told\("(\w+)"', source)) | set(re.findall(r'\(\("(\w+)", text\)', source))
    assert kinds == set(re.findall(r"^\| `(\w+)` \|", reference.warning_table(), re.MULTILINE))
