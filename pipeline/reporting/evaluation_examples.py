"""Rows of an evaluation before and after each attack, to enlarge, filter and trace."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.candidates import MARKS
from hardset.pipeline.reporting.enlarging import amplification
from hardset.pipeline.reporting.evaluation_content import AttackedExample, EvaluationContent
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.filters import Filter, filter_bar
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.row_pictures import RowPicture, drawn_rows
from hardset.pipeline.reporting.wording import amount, clipped, counted, percent
from hardset.schemas.records.evaluation import Evaluation

_IMAGES = 3
"""Number of images that show one row."""
_CONFIDENT, _HARDEST = "Most confident error", "Hardest"


def examples(content: EvaluationContent) -> Markup | None:
    """Rows before and after by model and attack, the telling ones first; None if there are none."""
    record, groups = content.record, dict[tuple[str, str], list[AttackedExample]]()
    for one in content.examples:
        groups.setdefault((one.model, one.attack), []).append(one)
    if not groups:
        return None
    most = max(1, content.images // _IMAGES // len(groups))
    shown = {key: _telling(rows)[:most] for key, rows in list(groups.items())[: content.images // _IMAGES]}
    text = (
        "Before, after, and the difference, amplified about mid-grey to the full range. Below: label → prediction "
        "after, confidence."
    )
    pictures = [[_picture(record, one, mark) for one, mark in rows] for rows in shown.values()]
    lists = [
        element(
            "div",
            element("h3", f"{model}, {attack}"),
            element("ul", items, class_=f"examples examples-3{_large(rows)}"),
        )
        for ((model, attack), rows), items in zip(shown.items(), drawn_rows(pictures, content.images), strict=True)
    ]
    every = [one for rows in shown.values() for one, _ in rows]
    labels = sorted({one.label for one in every})
    bar = filter_bar(
        [
            Filter("model", "Model", [(name, name) for name in dict.fromkeys(one.model for one in every)]),
            Filter("attack", "Attack", [(name, name) for name in dict.fromkeys(one.attack for one in every)]),
            Filter("class", "Class", [(str(label), _class(record, label)) for label in labels]),
            Filter("outcome", "Outcome", [("falls", "Falls"), ("stands", "Stands")]),
        ]
    )
    return join(element("p", text, class_="soft"), element("div", bar, lists, class_="gallery"))


def _telling(rows: Sequence[AttackedExample]) -> list[tuple[AttackedExample, str]]:
    """The rows, each with its mark: first the most confident error, then the hardest row, then the others."""
    fallen = [one for one in rows if one.pred != one.label]
    standing = [one for one in rows if one.pred == one.label]
    confident = max(fallen, key=lambda one: one.confidence, default=None)
    hardest = max(standing, key=lambda one: one.margin, default=None)
    first = [(one, mark) for one, mark in ((confident, _CONFIDENT), (hardest, _HARDEST)) if one is not None]
    taken = {id(one) for one, _ in first}
    return [*first, *((one, "") for one in rows if id(one) not in taken)]


def _large(rows: Sequence[tuple[AttackedExample, str]]) -> str:
    return " large" if max(rows[0][0].clean.shape[:2]) > 64 else ""


def _class(record: Evaluation, label: int) -> str:
    return clipped(record.classes[label], 40) if 0 <= label < len(record.classes) else "none"


def _picture(record: Evaluation, one: AttackedExample, mark: str) -> RowPicture:
    name, read = _class(record, one.label), _class(record, one.pred)
    fell = one.pred != one.label
    norm = str(next(a.attack["norm"] for a in record.models[0].attacks if a.label == one.attack))
    factor = amplification([Example({}, one.attacked, one.clean)])
    meaning = next((one.attack for one in MARKS if one.name == mark), None)
    caption: Child = join(
        element("span", element("strong", mark), f": {meaning}", class_="mark-note") if meaning else None,
        element("strong", f"{name} → {read}"),
        f", {percent(one.confidence)}",
        element("br"),
        element("span", "falls", class_="fallen") if fell else element("span", "stands", class_="held"),
    )
    return RowPicture(
        made=one.attacked,
        clean=one.clean,
        factor=factor,
        heading=f"{name} → {read}",
        caption=caption,
        of=f"class {name}",
        seen=f"read as {read}",
        kind="After",
        facts=(
            ("Source row", one.source_key),
            ("Digest of its pixels", one.source_sha256),
            ("Model", record.model(one.model).model_id),
            ("Attack", f"{one.attack}, eps {amount(one.eps, norm)}"),
            ("Cost", f"{counted(one.gradients, 'gradient')}, {one.queries:,} queries"),
            ("Read before", _class(record, one.clean_pred)),
            ("Margin after", f"{one.margin:.3f}"),
            ("Confidence after", percent(one.confidence)),
            ("Difference", f"amplified {factor} times"),
        ),
        groups={
            "model": one.model,
            "attack": one.attack,
            "class": str(one.label),
            "outcome": "falls" if fell else "stands",
        },
        marked=bool(mark),
    )
