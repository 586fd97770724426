"""Picture section of a report: example rows beside their clean rows, with the model's predictions."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.reporting.enlarging import amplification, amplified_difference, data_uri
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.row_pictures import lineage
from hardset.pipeline.reporting.sections import Content, numbered
from hardset.pipeline.reporting.wording import class_name, eps_of_row, percent
from hardset.schemas.rows.contract import ADVERSARIAL, GENERATED

MOST_BYTES = 3_000_000
"""Maximum size of all images of a page, in bytes; recipes whose examples exceed it are only named."""


def gallery(content: Content) -> Markup | None:
    """Example rows of every recipe; None if there are none."""
    parts: list[Child] = []
    left = MOST_BYTES
    for recipe in content.statistics.recipes:
        examples = content.examples.get(recipe.recipe_id, [])
        if not examples:
            continue
        drawn = _of_recipe(examples, content.statistics.manifest.classes)
        left -= len(drawn)
        text: Child = drawn if left > 0 else element("p", "Not shown, to keep this page light.", class_="soft")
        parts += [element("h3", numbered(recipe)), text]
    return join(*parts) if parts else None


def _of_recipe(examples: Sequence[Example], classes: tuple[str, ...]) -> Markup:
    kind = examples[0].row["kind"]
    factor = amplification(examples) if kind == ADVERSARIAL else 0
    compared = [example for example in examples if example.clean is not None]
    images = (3 if factor else 2) if compared else 1
    large = " large" if max(examples[0].made.shape[:2]) > 64 else ""
    items = [element("li", _figure(example, classes, factor)) for example in examples]
    return join(
        element("p", _explained(kind, factor, missing=len(examples) - len(compared)), class_="soft"),
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


def _figure(example: Example, classes: tuple[str, ...], factor: int) -> Markup:
    row, label = example.row, class_name(classes, example.row["label"])
    images: list[Child] = []
    if example.clean is not None:
        images.append(_image(data_uri(example.clean), f"Clean image of class {label}"))
    images.append(_image(data_uri(example.made), f"Stored image, {_alternative(row, classes)}"))
    if example.clean is not None and factor:
        change = amplified_difference(example.clean, example.made, factor)
        images.append(_image(data_uri(change, difference=True), f"Difference, amplified {factor} times"))
    caption = element("figcaption", _caption(row, classes), lineage(_lineage(row)))
    return element("figure", element("div", images, class_="row"), caption)


def _lineage(row: dict[str, object]) -> list[tuple[str, str]]:
    """Lineage of the row, as far as its columns tell: what it was made from, by which run and how."""
    named = {
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
    return [(name, str(row[column])) for column, name in named.items() if row.get(column) not in (None, "")]


def _image(source: str, alternative: str) -> Markup:
    return element("img", src=source, alt=alternative)


def _alternative(row: dict[str, object], classes: tuple[str, ...]) -> str:
    kind, label = str(row["kind"]), class_name(classes, _whole(row["label"]))
    seen = "" if row["pred"] is None else f", read as {class_name(classes, _whole(row['pred']))}"
    return f"{kind}, class {label}{seen}"


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
    budget = f"eps {eps_of_row(eps, norm)}" if isinstance(eps, float) and isinstance(norm, str) else ""
    target = _whole(row["target_label"])
    aim = "" if target is None else f", target {class_name(classes, target)}"
    return join(first, element("br"), outcome, f", {budget}{aim}")
