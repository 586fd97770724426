"""Picture section of a report: example rows beside their clean rows, with the model's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hardset.pipeline.reporting.candidates import MARKS
from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.embedding import MOST_IMAGES
from hardset.pipeline.reporting.enlarging import amplification
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.filters import Filter, filter_bar
from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.reporting.row_pictures import RowPicture, drawn_rows
from hardset.pipeline.reporting.wording import class_name, clipped, eps_of_row, number, percent
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, COLUMNS, GENERATED

IMAGES_OF = {ADVERSARIAL: 3, AUGMENTED: 2, GENERATED: 1}
"""Number of images that show one row, by kind."""
_MOST_CHARACTERS = 300
"""Maximum length of a column's value."""
_OUTCOMES = {"fooled": "Fools the model", "resisted": "Resists", "right": "Read rightly", "wrong": "Misread"}


def most_rows(kinds: Sequence[str], images: int = MOST_IMAGES) -> list[int]:
    """Number of rows to show of each recipe, by the `kinds` of their rows: equal shares of `images` images in all.

    Where there are more recipes than that, the first ones get a row each.
    """
    costs = [IMAGES_OF.get(kind, max(IMAGES_OF.values())) for kind in kinds]
    share = images // max(1, len(kinds))
    if all(share >= cost for cost in costs):
        return [share // cost for cost in costs]
    return [int(spent <= images) for spent in accumulate(costs)]


def gallery(content: Content) -> Markup | None:
    """Example rows of every recipe; None if there are none."""
    classes = content.statistics.manifest.classes
    shown = [
        (r, content.examples[r.recipe_id]) for r in content.statistics.recipes if content.examples.get(r.recipe_id)
    ]
    if not shown:
        return None
    pictures = [_pictures(examples, str(recipe.position), classes) for recipe, examples in shown]
    groups = [
        element("div", element("h3", numbered(recipe)), _list(examples, rows, items))
        for (recipe, examples), rows, items in zip(shown, pictures, drawn_rows(pictures, content.images), strict=True)
    ]
    rows = [example.row for _, examples in shown for example in examples]
    labels = sorted({label for row in rows if (label := _whole(row["label"])) is not None})
    outcomes = {_outcome(row) for row in rows}
    bar = filter_bar(
        [
            Filter("recipe", "Recipe", [(str(recipe.position), numbered(recipe)) for recipe, _ in shown]),
            Filter("class", "Class", [(str(label), class_name(classes, label)) for label in labels]),
            Filter("outcome", "Outcome", [(key, words) for key, words in _OUTCOMES.items() if key in outcomes]),
        ]
    )
    return element("div", bar, groups, class_="gallery")


def _pictures(examples: Sequence[Example], recipe: str, classes: tuple[str, ...]) -> list[RowPicture]:
    """Pictures of one recipe's examples, their differences amplified alike."""
    factor = amplification(examples) if examples[0].row["kind"] == ADVERSARIAL else 0
    return [_picture(example, recipe, classes, factor) for example in examples]


def _list(examples: Sequence[Example], rows: Sequence[RowPicture], items: Sequence[Markup]) -> Markup:
    missing = sum(row.clean is None for row in rows)
    large = " large" if max(examples[0].made.shape[:2]) > 64 else ""
    images = max(row.images for row in rows)
    return join(
        element("p", _explained(examples[0].row["kind"], rows[0].factor, missing=missing), class_="soft"),
        element("ul", items, class_=f"examples examples-{images}{large}"),
    )


def _explained(kind: str, factor: int, *, missing: int) -> str:
    if kind == GENERATED:
        return "Generated images, with the requested class."
    text = "Clean and stored image. Below: label → prediction, confidence."
    if factor:
        amplified = f", amplified {factor} times" if factor > 1 else ""
        text = (
            f"Clean, stored, and their difference{amplified} (mid-grey: no change). "
            "Below: label → prediction, confidence; outcome, budget."
        )
    if missing:
        text += " Clean images are missing where the source cannot be read here or has changed."
    return text


def _picture(example: Example, recipe: str, classes: tuple[str, ...], factor: int) -> RowPicture:
    row = example.row
    label, pred = _whole(row["label"]), _whole(row["pred"])
    name = class_name(classes, label)
    return RowPicture(
        made=example.made,
        clean=example.clean,
        factor=factor,
        heading=name if pred is None else f"{name} → {class_name(classes, pred)}",
        caption=join(_mark(example), _caption(row, classes)),
        of=f"class {name}",
        seen="" if pred is None else f"read as {class_name(classes, pred)}",
        facts=_facts(row, classes),
        marked=bool(example.mark),
        groups={"recipe": recipe, "class": "" if label is None else str(label), "outcome": _outcome(row)},
    )


def _mark(example: Example) -> Markup | None:
    found = next((mark for mark in MARKS if mark.name == example.mark), None)
    if found is None:
        return None
    meaning = found.attack if example.row["kind"] == ADVERSARIAL else found.other
    return element("span", element("strong", found.name), f": {meaning}", class_="mark-note")


def _outcome(row: dict[str, object]) -> str:
    if row["kind"] == ADVERSARIAL:
        return "fooled" if row["success"] else "resisted"
    return "" if row["pred"] is None else "right" if row["pred"] == row["label"] else "wrong"


_FIRST = {
    "row_id": "Row",
    "source_key": "Source row",
    "source_split": "Its split",
    "source_sha256": "Digest of its pixels",
    "parent_row_id": "Made row it comes from",
    "model_id": "Model",
    "recipe_id": "Recipe",
    "run_id": "Run",
    "seed": "Seed",
}
"""Columns that tell the lineage, with their names in words; the others follow under their own names."""


def _facts(row: dict[str, object], classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """All columns of the row that are filled: its lineage first, then what was measured."""
    indexed = {column.name for column in COLUMNS if column.is_class}
    names = [*_FIRST, *(name for name in row if name not in _FIRST)]
    return [
        (_FIRST.get(name, name), _value(row[name], classes if name in indexed else ()))
        for name in names
        if row.get(name) not in (None, "")
    ]


def _value(value: object, classes: tuple[str, ...]) -> str:
    if classes and isinstance(value, int) and 0 <= value < len(classes) and classes[value] != str(value):
        return f"{value} ({class_name(classes, value)})"
    return number(value, 6) if isinstance(value, float) else clipped(str(value), _MOST_CHARACTERS)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _caption(row: dict[str, object], classes: tuple[str, ...]) -> Markup:
    label, pred, confidence = class_name(classes, _whole(row["label"])), _whole(row["pred"]), row["confidence"]
    if pred is None:
        return element("strong", label)
    sure = f", {percent(confidence)}" if isinstance(confidence, float) else ""
    first = join(element("strong", f"{label} → {class_name(classes, pred)}"), sure)
    if row["kind"] != ADVERSARIAL:
        return first
    outcome = element("span", "fools", class_="fallen") if row["success"] else element("span", "resists", class_="held")
    eps, norm = row["eps"], row["norm"]
    budget = f", eps {eps_of_row(eps, norm)}" if isinstance(eps, float) and isinstance(norm, str) else ""
    target = _whole(row["target_label"])
    aim = "" if target is None else f", target {class_name(classes, target)}"
    return join(first, element("br"), outcome, f"{budget}{aim}")
