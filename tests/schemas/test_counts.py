"""Counts beyond sense: every whole number that a job file takes has a largest value, and more is told at its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from tests.support import document


def unbounded(node: Any, at: str = "") -> Iterator[str]:
    """Places of a JSON Schema where any whole number is taken, however large."""
    if isinstance(node, dict):
        if node.get("type") == "integer" and not {"maximum", "exclusiveMaximum"} & node.keys():
            yield at
        for key, value in node.items():
            if key not in ("examples", "default"):
                yield from unbounded(value, f"{at}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from unbounded(value, f"{at}/{number}")


@pytest.mark.parametrize("kind", [Job, EvaluationJob])
def test_every_whole_number_has_a_largest_value(kind: type[Job] | type[EvaluationJob]) -> None:
    assert list(unbounded(kind.model_json_schema())) == []


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("run", "batch", 10**20),
        ("run", "actors", 10**9),
        ("run", "actors", {"min": 1, "max": 10**9}),
        ("run", "cpus_per_actor", 10**6),
        ("run", "max_attempts", 10**12),
        ("model", "classes", 10**12),
        ("output", "shard_rows", 10**18),
        ("source", "limit", 10**30),
    ],
)
def test_a_count_beyond_sense_is_told_at_its_key(section: str, key: str, value: Any) -> None:
    whole = document({"victim": "w.safetensors", "generator": "g.safetensors"}, "out")
    whole[section] = {**whole[section], key: value}
    with pytest.raises(JobError, match=rf"{section}\.{key}"):
        parse_job(whole)
