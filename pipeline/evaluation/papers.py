"""An evaluation's figures for a paper: CSV, a LaTeX table and one line a model, over one evaluation or several seeds.

Pure functions of records. Accuracies are in per cent. Of several evaluations mean and sample standard deviation (n - 1)
are told; they are those of whatever differs between them, seeds of the attacks or weights of another training.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import AttackFigures, Evaluation, ModelFigures, Share

CSV_COLUMNS = (
    *("evaluation", "seed", "model", "model_sha256", "norm", "attack", "eps", "rows"),
    *("stored", "stored_low", "stored_high", "float"),
)
CLEAN, WORST = "clean", "worst"
"""Names of the lines that belong to no single attack: unchanged rows, and rows that withstand all of a threat's."""


@dataclass(frozen=True)
class Column:
    """One column of the LaTeX table."""

    title: str
    group: str
    """Title above it; columns of one group stand side by side."""
    stored: tuple[float, ...]
    """Accuracy of each evaluation on the stored 8-bit images, in per cent."""
    floats: tuple[float, ...] | None = None
    """The same before rounding; None where it is not told."""


def check_alike(records: Sequence[Evaluation]) -> None:
    """Raises JobError unless the evaluations measure models of the same names by the same threats and attacks."""
    first = _measured(records[0])
    for record in records[1:]:
        for what, before, after in zip(first, first.values(), _measured(record).values(), strict=True):
            if before != after:
                raise JobError(
                    f"{record.name}: its {what} are {after} and those of {records[0].name} are {before}; a mean wants "
                    "evaluations that differ in seed or weights alone"
                )


def as_csv(records: Sequence[Evaluation]) -> str:
    """One line for every figure: evaluation, model, attack and budget; `clean` and `worst` stand among the attacks."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        for model in record.models:
            head = (record.name, record.job.get("seed", ""), model.name, model.sha256)
            writer.writerows((*head, *figures) for figures in _figures(model))
    return sink.getvalue()


def as_latex(records: Sequence[Evaluation]) -> str:
    """A table for `booktabs`, a line a model: clean accuracy, then each attack at its threat's budget, and the worst.

    Attacks have accuracy on stored images, and behind it in brackets that in floats. Raises JobError as `check_alike`.
    """
    check_alike(records)
    lines = [(model.name, _columns([record.model(model.name) for record in records])) for model in records[0].models]
    columns = lines[0][1]
    groups = list(dict.fromkeys(column.group for column in columns))
    spans = [sum(column.group == group for column in columns) for group in groups]
    above = " & ".join(
        f"\\multicolumn{{{span}}}{{c}}{{{_tex(group)}}}" for group, span in zip(groups, spans, strict=True)
    )
    body = [f"{_tex(name)} & " + " & ".join(map(_cell, found)) + r" \\" for name, found in lines]
    return "\n".join(
        [
            *(f"% {sentence}" for sentence in _notes(records)),
            f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
            r"\toprule",
            f" & {above} \\\\",
            "model & " + " & ".join(_tex(column.title) for column in columns) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def mean_line(records: Sequence[Evaluation], name: str) -> str:
    """A model over several evaluations as RobustBench lists one: clean and robust accuracy with their deviation."""
    models = [record.model(name) for record in records]
    threat = models[0].threats[0]
    clean, robust = (_spread([_percent(one) for one in found]) for found in zip(*_headlines(models), strict=True))
    attacks = ", ".join(one.label for one in models[0].attacks if one.attack.get("norm") == threat.norm)
    rows = records[0].rows.count
    return (
        f"{name}: clean {clean} %, robust {robust} % at {threat.norm} {threat.eps}, worst of {attacks} "
        f"(n = {rows:,}, mean and deviation of {len(records)} evaluations)"
    )


def _headlines(models: Sequence[ModelFigures]) -> list[tuple[Share, Share]]:
    return [(model.clean, model.robust) for model in models]


def _measured(record: Evaluation) -> dict[str, Any]:
    first = record.models[0]
    return {
        "models": [model.name for model in record.models],
        "threats": [f"{threat.norm} {threat.eps}" for threat in first.threats],
        "attacks": [attack.label for attack in first.attacks],
        "rows": record.rows.count,
    }


def _figures(model: ModelFigures) -> Iterator[tuple[object, ...]]:
    yield ("", CLEAN, "0", *_share(model.clean), "")
    for attack in model.attacks:
        for point in attack.points:
            float_robust = _rounded(_percent(point.float_robust))
            yield (attack.attack.get("norm") or "", attack.label, point.eps, *_share(point.robust), float_robust)
    for threat in model.threats:
        for place in threat.curve[1:]:
            yield (threat.norm, WORST, place.eps, *_share(place.robust), "")


def _share(share: Share) -> tuple[object, ...]:
    return share.of, _rounded(_percent(share)), _rounded(100 * share.low), _rounded(100 * share.high)


def _columns(models: Sequence[ModelFigures]) -> list[Column]:
    found = [Column(CLEAN, "", tuple(_percent(model.clean) for model in models))]
    for position, threat in enumerate(models[0].threats):
        group = f"{threat.norm}, eps {threat.eps}"
        for number, attack in enumerate(models[0].attacks):
            if attack.attack.get("norm") == threat.norm:
                points = [_point(model.attacks[number], threat.eps) for model in models]
                stored, floats = (tuple(map(_percent, shares)) for shares in zip(*points, strict=True))
                found.append(Column(attack.label, group, stored, floats))
        found.append(Column(WORST, group, tuple(_percent(model.threats[position].robust) for model in models)))
    return found


def _point(attack: AttackFigures, eps: str) -> tuple[Share, Share]:
    point = next(point for point in attack.points if point.eps == eps)
    return point.robust, point.float_robust


def _notes(records: Sequence[Evaluation]) -> Iterator[str]:
    """What the figures are, for whoever copies the table."""
    first = records[0]
    seeds = ", ".join(str(record.job.get("seed", "?")) for record in records)
    version = first.environment.get("hardset", "?")
    yield f"hardset {version}, {first.name}: accuracy in per cent, {first.rows.count} rows"
    yield "attacks: on stored 8-bit images, in brackets on floats before rounding"
    yield "worst: rows that withstand all attacks as stored"
    yield (
        f"seed {seeds}"
        if len(records) == 1
        else f"mean and sample deviation of {len(records)} evaluations, seeds {seeds}"
    )
    for finding in (finding for record in records for finding in record.warnings):
        yield f"warning: {finding.model}: {finding.kind}"


def _cell(column: Column) -> str:
    stored = _tex(_spread(column.stored))
    return stored if column.floats is None else f"{stored} ({_tex(_spread(column.floats))})"


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def _percent(share: Share) -> float:
    return 100 * share.value


def _rounded(value: float) -> str:
    return f"{value:.2f}"


_SPECIAL = {**{one: f"\\{one}" for one in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {"\\": r"\textbackslash{}", "±": r"$\pm$"}


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(one, one) for one in text)
