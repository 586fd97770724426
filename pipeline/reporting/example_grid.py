"""Renders the report's examples as one PNG, for READMEs and dataset cards."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.enlarging import amplification, amplified_difference, tile
from hardset.pipeline.reporting.examples import Example, Image
from hardset.pipeline.reporting.wording import counted, eps_of_row, percent, recipe_title
from hardset.pipeline.statistics.recipe_statistics import RecipeStatistics
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

WIDTH = 1144
_MARGIN, _LABELS, _SIDE, _GAP = 36, 128, 80, 16
_COLUMNS = (WIDTH - 2 * _MARGIN - _LABELS + _GAP) // (_SIDE + _GAP)
_INK, _SOFT, _LINE = "#1a1f27", "#566070", "#d9dde3"
_FALLEN, _HELD = "#b3361f", "#2b7350"
_BANDS = {ADVERSARIAL: 2, AUGMENTED: 1, GENERATED: 1}
"""Maximum number of recipes by kind of row."""


@dataclass(frozen=True)
class _Band:
    """Examples of one recipe: rows of pictures under a heading."""

    heading: str
    note: str
    examples: list[Example]
    lines: list[tuple[str, Callable[[Example], Image | None]]]
    """Name of each line of pictures, and the function that selects its image of an example."""


def grid_png(content: Content) -> bytes:
    """PNG, 1144 pixels wide, of clean, made and amplified difference images by recipe, with captions. Deterministic."""
    return _drawn(_bands(content), content.statistics.manifest.classes, lambda draw: _title(draw, content))


def rows_png(examples: Sequence[Example], classes: tuple[str, ...], note: str) -> bytes:
    """PNG, 1144 pixels wide, of these rows in order, by kind, with their clean rows where there are any."""
    bands = []
    for kind in _BANDS:
        mine = [example for example in examples if example.row["kind"] == kind]
        for start in range(0, len(mine), _COLUMNS):
            part = mine[start : start + _COLUMNS]
            numbers = f"{start + 1} to {start + len(part)} of {counted(len(mine), 'row')}"
            bands.append(_Band(kind, numbers, part, _lines(part)))
    return _drawn(bands, classes, lambda draw: _head(draw, "hardset show", _plain(note, "")))


def _drawn(bands: list[_Band], classes: tuple[str, ...], title: Callable[[ImageDraw.ImageDraw], None]) -> bytes:
    heights = [_band_height(band) for band in bands]
    canvas = Pictures.new("RGB", (WIDTH, 2 * _MARGIN + 76 + sum(heights)), "white")
    draw = ImageDraw.Draw(canvas)
    title(draw)
    top = _MARGIN + 76
    for band, height in zip(bands, heights, strict=True):
        _draw_band(canvas, draw, band, top, classes)
        top += height
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _title(draw: ImageDraw.ImageDraw, content: Content) -> None:
    statistics = content.statistics
    totals = statistics.manifest.totals
    name = _plain(str(statistics.manifest.job.get("name", "")), "dataset")
    parts = [counted(totals.rows_out, "row"), *(f"{rows:,} {kind}" for kind, rows in sorted(statistics.kinds.items()))]
    if totals.success_rate is not None:
        parts.append(f"attack success {percent(totals.success_rate)}")
    _head(draw, f"hardset: {name}", ", ".join(parts))


def _head(draw: ImageDraw.ImageDraw, title: str, note: str) -> None:
    draw.text((_MARGIN, _MARGIN - 6), title, _INK, _font(28))
    draw.text((_MARGIN, _MARGIN + 32), _cut(note, WIDTH - 2 * _MARGIN - 250, 16), _SOFT, _font(16))
    key = (("prediction is the label", _HELD), ("prediction is another class", _FALLEN))
    for line, (words, colour) in enumerate(key):
        draw.text((WIDTH - _MARGIN, _MARGIN + 12 + 20 * line), words, colour, _font(15), anchor="ra")
        left = WIDTH - _MARGIN - _font(15).getlength(words) - 20
        draw.rectangle((left, _MARGIN + 16 + 20 * line, left + 11, _MARGIN + 27 + 20 * line), fill=colour)


def _bands(content: Content) -> list[_Band]:
    left = dict(_BANDS)
    bands = []
    for recipe in content.statistics.recipes:
        examples = _unmarked(content.examples.get(recipe.recipe_id, []))[:_COLUMNS]
        if examples and left.get(recipe.kind, 0):
            left[recipe.kind] -= 1
            bands.append(_band(recipe, examples))
    return sorted(bands, key=lambda band: list(_BANDS).index(band.examples[0].row["kind"]))


def _unmarked(examples: list[Example]) -> list[Example]:
    """The examples that were chosen without regard to what became of them, where there are any."""
    return [example for example in examples if not example.mark] or examples


def _band(recipe: RecipeStatistics, examples: list[Example]) -> _Band:
    note = f"{recipe.tally.rows:,} rows"
    if recipe.counts.success_rate is not None:
        note += f", {percent(recipe.counts.success_rate)} success"
    return _Band(_plain(recipe_title(recipe.text), recipe.op), note, examples, _lines(examples))


def _lines(examples: list[Example]) -> list[tuple[str, Callable[[Example], Image | None]]]:
    lines: list[tuple[str, Callable[[Example], Image | None]]] = [("stored", lambda example: example.made)]
    if any(example.clean is not None for example in examples):
        lines.insert(0, ("clean", lambda example: example.clean))
        if examples[0].row["kind"] == ADVERSARIAL:
            lines.append(_difference_line(examples))
    return lines


def _difference_line(examples: list[Example]) -> tuple[str, Callable[[Example], Image | None]]:
    factor = amplification(examples)

    def shown(example: Example) -> Image | None:
        return None if example.clean is None else amplified_difference(example.clean, example.made, factor)

    return (f"difference x {factor}" if factor > 1 else "difference"), shown


def _band_height(band: _Band) -> int:
    return 40 + len(band.lines) * (_SIDE + 8) + _caption_lines(band) * 17 + 24


def _caption_lines(band: _Band) -> int:
    return 4 if band.examples[0].row["kind"] == ADVERSARIAL else 3


def _draw_band(
    canvas: Pictures.Image, draw: ImageDraw.ImageDraw, band: _Band, top: int, classes: tuple[str, ...]
) -> None:
    draw.line((_MARGIN, top, WIDTH - _MARGIN, top), _LINE)
    draw.text((_MARGIN, top + 10), _cut(band.heading, WIDTH // 2, 18), _INK, _font(18))
    draw.text((WIDTH - _MARGIN, top + 13), _cut(band.note, WIDTH // 2, 15), _SOFT, _font(15), anchor="ra")
    first = top + 42
    for number, (name, shown) in enumerate(band.lines):
        y = first + number * (_SIDE + 8)
        draw.text((_MARGIN, y + _SIDE // 2), name, _SOFT, _font(15), anchor="lm")
        for column, example in enumerate(band.examples):
            pixels = shown(example)
            if pixels is not None:
                x = _MARGIN + _LABELS + column * (_SIDE + _GAP)
                canvas.paste(tile(pixels, _SIDE), (x, y))
                draw.rectangle((x, y, x + _SIDE - 1, y + _SIDE - 1), outline=_LINE)
    captions = first + len(band.lines) * (_SIDE + 8) - 2
    for column, example in enumerate(band.examples):
        x = _MARGIN + _LABELS + column * (_SIDE + _GAP)
        for line, (words, colour) in enumerate(_captions(example, classes)):
            draw.text((x, captions + 17 * line), _cut(words, _SIDE + _GAP - 4, 13), colour, _font(13))
    names = ("label", "prediction", "confidence", "budget")
    for line in range(_caption_lines(band)):
        draw.text((_MARGIN, captions + 17 * line), names[line], _SOFT, _font(13))


def _captions(example: Example, classes: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    row = example.row
    lines = [(_class(classes, row["label"]), _INK)]
    if row["pred"] is not None:
        lines.append((_class(classes, row["pred"]), _HELD if row["pred"] == row["label"] else _FALLEN))
        lines.append(("" if row["confidence"] is None else percent(row["confidence"]), _SOFT))
    if row["kind"] == ADVERSARIAL:
        lines.append((f"eps {eps_of_row(row['eps'], row['norm'])}" if row["eps"] is not None else "drawn", _SOFT))
    return lines


def _class(classes: tuple[str, ...], label: int | None) -> str:
    if label is None:
        return "-"
    name = classes[label] if 0 <= label < len(classes) else str(label)
    return _plain(name, f"class {label}")


def _plain(words: str, otherwise: str) -> str:
    """`words` if the built-in font can draw them (it has ASCII and little else), else `otherwise`."""
    return words if words and words.isascii() and words.isprintable() else otherwise


def _cut(words: str, width: int, size: int) -> str:
    words = words.replace("\N{NO-BREAK SPACE}", " ")  # missing in the built-in font
    while words and _font(size).getlength(words) > width:
        words = words.removesuffix("...")[:-1].rstrip() + "..." if len(words) > 4 else ""
    return words


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
