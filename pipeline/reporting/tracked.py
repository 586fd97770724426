"""What an experiment tracker is told of a run, an evaluation or a loop: parameters and figures by flat names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hardset.pipeline.reporting.hardening_page import LoopContent
from hardset.pipeline.reporting.wording import clipped, public_text
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.evaluation import Evaluation
from hardset.schemas.records.run import Manifest

MOST_CHARACTERS = 500
"""Maximum length of a parameter's value, which the oldest trackers' stores take."""
_NAME = re.compile(r"[^\w\-. /]+")


@dataclass(frozen=True)
class Figure:
    """A number, and which of several it is."""

    name: str
    value: float
    step: int = 0
    """Round of hardening, or position of the budget; 0 where there is only one."""


@dataclass(frozen=True)
class Tracked:
    """One experiment."""

    identity: str
    """Id that the same job on the same data has again."""
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def of_run(manifest: Manifest) -> Tracked:
    """A run that made rows: its totals, and rows and success of each recipe."""
    totals, date = manifest.totals, manifest.logical_date
    figures = [
        Figure("rows", totals.rows_out),
        Figure("quarantined", totals.quarantined),
        Figure("bytes", sum(file.bytes for file in manifest.data_files)),
        *_success("success", totals),
    ]
    if manifest.clean is not None:
        figures.append(Figure("clean_accuracy", manifest.clean.share))
    for position in range(len(manifest.job.get("recipes", ()))):
        counts = sum((output.counts for output in manifest.outputs if output.recipe == position), Counts())
        figures += [Figure(f"recipe_{position + 1}.rows", counts.rows_out)]
        figures += _success(f"recipe_{position + 1}.success", counts)
    name = str(manifest.job.get("name", "dataset"))
    return Tracked(
        manifest.run_id,
        f"{name} {date}" if date else name,
        parameters(manifest.job),
        tuple(figures),
        {"status": manifest.status, "content_sha256": manifest.content_sha256},
    )


def _success(name: str, counts: Counts) -> list[Figure]:
    rate = counts.success_rate
    return [] if rate is None else [Figure(name, rate)]


def of_evaluation(record: Evaluation) -> Tracked:
    """An evaluation: accuracy of every model, clean, under each threat and each attack, and under natural changes."""
    figures = []
    for model in record.models:
        figures += [Figure(_name(model.name, "clean"), model.clean.value)]
        for threat in model.threats:
            norm = STORED_NORMS[threat.norm]
            figures.append(Figure(_name(model.name, "robust", norm), threat.robust.value))
            places = enumerate(threat.curve)
            figures += [Figure(_name(model.name, "curve", norm), point.robust.value, at) for at, point in places]
        for attack in model.attacks:
            figures += [
                Figure(_name(model.name, "attack", attack.label), point.robust.value, at)
                for at, point in enumerate(attack.points)
            ]
        figures += [Figure(_name(model.name, one.name), one.right.value, one.level) for one in model.conditions]
    return Tracked(
        record.evaluation_id,
        record.name,
        parameters(record.job),
        tuple(figures),
        {"rows_sha256": record.rows.sha256, "warnings": str(len(record.warnings))},
    )


def of_loop(loop: LoopContent) -> Tracked:
    """A loop of hardening: accuracy before it, after each round, and at its end on rows that it never saw."""
    measured = [(0, loop.start.validation), *((one.number, one.validation) for one in loop.rounds)]
    figures = [
        Figure(f"validation.{name}", value, step) for step, found in measured for name, value in found.shares().items()
    ]
    job: Mapping[str, Any] = {}
    if loop.whole is not None:
        job = loop.whole.job
        for when, found in (("before", loop.whole.before), ("after", loop.whole.after)):
            figures += [Figure(f"{when}.{name}", value) for name, value in found.shares().items()]
    name = str(job.get("name", "hardening"))
    return Tracked(loop.start.loop_id, name, parameters(job), tuple(figures))


def parameters(job: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a resolved job by dotted name, without credentials; those that are unset are left out."""
    return {name: clipped(public_text(str(value)), MOST_CHARACTERS) for name, value in _flat("", job)}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        parts: Sequence[tuple[str, Any]] = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in value):
        parts = [(str(at), part) for at, part in enumerate(value)]
    else:
        if name and value is not None:
            yield name, value
        return
    for key, part in parts:
        yield from _flat(_name(name, key) if name else _name(key), part)


def _name(*parts: str) -> str:
    """A name that every tracker takes: letters, digits, dots, dashes, blanks and underscores."""
    return ".".join(_NAME.sub("_", part) for part in parts)
