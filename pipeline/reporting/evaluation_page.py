"""Report of an evaluation: robustness of each model under each attack, and doubts about the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hardset.pipeline.reporting.curves import interval
from hardset.pipeline.reporting.evaluation_content import Build, EvaluationContent, at_threat
from hardset.pipeline.reporting.evaluation_curves import accuracy_curves, value_of
from hardset.pipeline.reporting.evaluation_details import DETAILS
from hardset.pipeline.reporting.heat import heat_map
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.tables import TableColumn, facts, table
from hardset.pipeline.reporting.warnings_section import drawn, of_sentence
from hardset.pipeline.reporting.wording import NONE, amount, clipped, counted, percent
from hardset.schemas.norms import STORED_NORMS, Norm
from hardset.schemas.records.evaluation import Evaluation, ModelFigures


def evaluation_page(content: EvaluationContent, further: Sequence[Chapter] = ()) -> str:
    """HTML of a folder that holds an evaluation and no dataset. Deterministic."""
    record = content.record
    return html_page(
        title=f"{record.name}: hardset evaluation",
        heading=record.name,
        lead=join("Evaluation ", element("code", record.evaluation_id)),
        top=None,
        chapters=[*chapters(content), *further],
        version=record.environment.get("hardset", ""),
    )


def chapters(content: EvaluationContent, prefix: str = "") -> list[Chapter]:
    """Chapters of an evaluation that are not empty. `prefix`: of their headings, on a page with other chapters."""
    built: tuple[tuple[str, str, Build], ...] = (
        ("doubts", "Warnings", doubts),
        ("robustness", "Robustness", headline),
        ("curves", "Accuracy against the budget", accuracy_curves),
        ("attacks", "Attacks by model", attack_matrix),
        *DETAILS,
        ("facts", "How it was evaluated", evaluation_facts),
    )
    drawn = [(anchor, heading, body) for anchor, heading, build in built if (body := build(content))]
    return [Chapter(f"evaluation-{anchor}", prefix + heading, body) for anchor, heading, body in drawn]


def headline(content: EvaluationContent) -> Markup:
    """Table with one line per model, in the manner of RobustBench."""
    record = content.record
    threat = record.models[0].threats[0]
    columns = (
        TableColumn("Model"),
        TableColumn("Clean", figures=True),
        *(TableColumn(f"Robust, {_threat(one.norm, one.eps)}", figures=True) for one in record.models[0].threats),
        TableColumn("Worst class", figures=True),
    )
    rows = [
        [
            _named(model),
            interval(value_of(model.clean)),
            *(interval(value_of(one.robust)) for one in model.threats),
            join(
                percent(model.worst_class.attacked_recall),
                " ",
                element("span", clipped(record.classes[model.worst_class.label], 20), class_="soft"),
            ),
        ]
        for model in record.models
    ]
    attacks = ", ".join(one.label for one in record.models[0].attacks if one.attack["norm"] == threat.norm)
    seen = [one.label for one in record.models[0].classes if one.support]
    only = ""
    if len(seen) == 1 and len(record.classes) > 1:
        name = clipped(record.classes[seen[0]], 40)
        only = f"All rows are of one class, {name}: no figure here is the model's accuracy."
    text = (
        f"Robust: rows classified correctly before and after each of {attacks}, judged in float32 on the stored 8-bit "
        "pixels. In grey: 95 % interval. Worst class: the lowest recall after the attacks of the first threat."
    )
    return join(
        element("p", text, class_="soft"),
        element("p", element("strong", only)) if only else None,
        table(f"Accuracy over {counted(record.rows.count, 'row')}", columns, rows),
    )


def _named(model: ModelFigures) -> Child:
    parts = []
    if model.hardened_from:
        parts.append(f"hardened from {model.hardened_from}")
    if model.last_of:
        parts.append(f"last checkpoint of {model.last_of}")
    return join(model.name, element("span", ", ".join(parts), class_="detail") if parts else None)


def doubts(content: EvaluationContent) -> Markup | None:
    """Warnings of the evaluation; None if there are none."""
    found = content.record.warnings
    if not found:
        return None
    items = [drawn(replace(of_sentence(one.text), about=one.model)) for one in found]
    return element("ul", items, class_="notices")


def attack_matrix(content: EvaluationContent) -> Markup:
    """Robust accuracy of every model under every attack at the threats' budgets."""
    record = content.record
    rows = []
    for number, attack in enumerate(record.models[0].attacks):
        cells: list[tuple[Child, float | None]] = []
        for model in record.models:
            share = at_threat(model, model.attacks[number])
            cells.append((percent(share.value), share.value))
        eps = next(one.eps for one in record.models[0].threats if one.norm == attack.attack["norm"])
        norm = str(attack.attack["norm"])
        rows.append((f"{attack.label}, eps {amount(eps, norm)}", cells))
    names = [model.name for model in record.models]
    return join(
        heat_map("Robust accuracy by attack and model", "Attack", names, rows) if len(names) > 1 else None,
        element("h3", "What it cost"),
        _costs(record),
    )


def _costs(record: Evaluation) -> Markup:
    columns = (
        TableColumn("Model and attack"),
        TableColumn("Gradients", figures=True),
        TableColumn("Queries", figures=True),
        TableColumn("Seconds", figures=True),
        TableColumn("Before rounding", figures=True),
    )
    rows: list[list[Child]] = []
    for model in record.models:
        for attack in model.attacks:
            eps = next(one.eps for one in model.threats if one.norm == attack.attack["norm"])
            floats = next(point.float_robust for point in attack.points if point.eps == eps)
            rows.append(
                [
                    f"{model.name}, {attack.label}",
                    f"{sum(point.gradients for point in attack.points):,}",
                    f"{sum(point.queries for point in attack.points):,}",
                    f"{attack.seconds:,.1f}",
                    percent(floats.value),
                ]
            )
    caption = "Sums over all budgets; seconds summed over workers; robust accuracy before rounding to 8 bits"
    return table(caption, columns, rows)


def _threat(norm: Norm, eps: str) -> str:
    return f"{STORED_NORMS[norm]} {amount(eps, norm)}"


def evaluation_facts(content: EvaluationContent) -> Markup:
    """Settings and data of the evaluation."""
    record = content.record
    splits = ", ".join(f"{rows:,} {split}" for split, rows in sorted(record.rows.splits.items()))
    return facts(
        "What the figures belong to",
        [
            ("Evaluation", element("code", record.evaluation_id)),
            ("Rows", f"{splits}{f'; {record.rows.lost:,} could not be read' if record.rows.lost else ''}"),
            ("Digest of the rows", element("code", record.rows.sha256)),
            *((f"Model {model.name}", element("code", model.model_id)) for model in record.models),
            ("Seed", str(record.job.get("seed", NONE))),
            ("Started", record.started),
            ("Finished", record.finished),
            ("Versions", ", ".join(f"{name} {version}" for name, version in record.environment.items())),
        ],
    )
