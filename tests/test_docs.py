"""Tables in the docs are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from hardset.schemas.reading.loading import parse_job
from hardset.schemas.rows.documentation import column_table, flag_table, version_table

DOCS = Path(__file__).parents[1] / "docs"


def test_the_column_table_is_the_contracts() -> None:
    assert column_table() in (DOCS / "output.md").read_text(encoding="utf-8")


def test_the_version_table_is_the_contracts() -> None:
    assert version_table() in (DOCS / "output.md").read_text(encoding="utf-8")


def test_the_flag_table_is_the_contracts() -> None:
    assert flag_table() in (DOCS / "output.md").read_text(encoding="utf-8")


def test_the_job_of_an_ensemble_is_a_job() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "models.md").read_text(encoding="utf-8"), re.DOTALL)
    job = parse_job(yaml.safe_load(block))
    assert job.model is not None
    assert (len(job.model.members), [model.name for model in job.transfer_to]) == (1, ["rival"])
