"""Evaluates one case, and holds the warnings that are told against those that are due."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.doubts.cases import Case

from hardset.pipeline.evaluation.doubt_table import doubtful, warnings_of
from hardset.pipeline.evaluation.evaluate import evaluate
from hardset.schemas.job.evaluation import EvaluationJob, parse_evaluation
from hardset.schemas.records.evaluation import Evaluation

SUITES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "gradients": ({"name": "fgsm"}, {"name": "pgd", "steps": 20}),
    "square": (
        {"name": "fgsm"},
        {"name": "pgd", "steps": 20, "eps": None},
        {"name": "square", "steps": 300, "eps": None},
    ),
}
"""Attacks by gradients alone, over the curve of budgets that a job has by default; and with one that needs none, at the
threat's budget. An eps of None stands for that."""
NEEDS = {"not_vanishing": "gradients", "black_box": "square"}
"""The only suite that can tell some kinds: square finds at a huge budget what gradients do not."""


def due(case: Case, suite: str) -> set[str]:
    """Kinds that are to be told of the case's model after a suite."""
    return {kind for kind in case.due if NEEDS.get(kind, suite) == suite}


def tried(case: Case, folder: Path) -> dict[str, Any]:
    """What is told of the case's model after each suite, what is due, and its figures."""
    records = {suite: measured(case, suite, folder) for suite in SUITES}
    model = records["square"].model(case.name)
    return {
        "name": case.name,
        "what": case.what,
        "eps": case.eps,
        "rows": model.clean.of,
        "clean": model.clean.value,
        "robust": model.robust.value,
        "doubtful": doubtful(records["square"], model),
        "due": {suite: sorted(due(case, suite)) for suite in SUITES},
        "told": {suite: told(case, record) for suite, record in records.items()},
        "texts": sorted(
            {one.text.replace(f"{folder.parent}/", "") for record in records.values() for one in record.warnings}
        ),
    }


def told(case: Case, record: Evaluation) -> list[str]:
    """Kinds of the warnings about the case's model, and about those beside it as `MODEL: KIND`, without repetition."""
    kinds = (one.kind if one.model == case.name else f"{one.model}: {one.kind}" for one in record.warnings)
    return sorted(set(kinds))


def measured(case: Case, suite: str, folder: Path) -> Evaluation:
    """The record of the case's evaluation; what `folder` holds of it already is not made again."""
    out = folder / f"{case.name}-{suite}"
    record = evaluate(_job(case, suite, out)).record
    assert record is not None
    return record.model_copy(update={"warnings": warnings_of(record)})  # those of today's code


def _job(case: Case, suite: str, out: Path) -> EvaluationJob:
    models = [{"name": name, **model} for name, model in case.beside.items()]
    return parse_evaluation(
        {
            "name": "doubts",
            "source": dict(case.source),
            "classes": 10,
            "models": [*models, {"name": case.name, **case.model}],
            "threats": [{"eps": case.eps}, *case.further],
            "attacks": list(_attacks(case, suite)),
            "corruptions": [],
            "shifts": list(case.shifts),
            "output": {"path": str(out)},
            "run": {"batch": 100, "cpus_per_actor": 1},
        }
    )


def _attacks(case: Case, suite: str) -> Iterator[dict[str, Any]]:
    for attack in SUITES[suite]:
        budget = {"eps": case.eps} if "eps" in attack else {}
        if case.eot == 1 or attack["name"] != "square":  # which takes no eot
            yield dict(attack) | budget | ({"eot": case.eot} if case.eot > 1 else {})
    for threat in case.further:
        yield {"name": "pgd", "norm": threat["norm"], "steps": 20}
