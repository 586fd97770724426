"""Signs that a row was decoded to something that nobody meant: counted in every shard, and told of the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hardset.pipeline.sources.images import Decoded
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Output

NEAR_BLACK, CONSTANT, FEW_BITS = "near_black", "constant", "few_bits"
DARKEST = 16
"""Level that no value of a nearly black image reaches: 12 bits taken for 16 end below it."""
READ = "read:"
"""Start of the names in `Counts.signals` of what is counted over source rows."""
_TOLD = {
    NEAR_BLACK: f"are nearly black, with no level above {DARKEST - 1} of 255; if they should not be, see source.alpha "
    "for transparent images, and source.bits for images of 10 to 14 bits",
    CONSTANT: "have one level in all pixels; if they should not, see source.alpha for drawings on a transparent ground",
    FEW_BITS: "come from 16-bit files whose values stay below 4096; set source.bits: 12 if that is white, or 16 if not",
}


def signs_of(image: Decoded) -> str:
    """Signs of a decoded image, comma-separated; empty where there are none."""
    most = int(image.pixels.max())
    found = [NEAR_BLACK] if most < DARKEST else []
    if int(image.pixels.min()) == most:
        found.append(CONSTANT)
    return ",".join([*found, FEW_BITS] if image.few_bits else found)


def counted(rows: Iterable[str]) -> dict[str, int]:
    """Entries of `Counts.signals` for rows with these signs."""
    found = Counter(sign for row in rows if row for sign in row.split(","))
    return {f"{READ}{sign}": number for sign, number in sorted(found.items())}


def reading_warnings(outputs: Iterable[Output]) -> tuple[str, ...]:
    """Warnings of a run about rows with signs. Every recipe reads the same rows, so those of one are counted."""
    recipes: dict[int, Counts] = {}
    for output in outputs:
        recipes[output.recipe] = recipes.get(output.recipe, Counts()) + output.counts
    most = max(recipes.values(), key=_number, default=Counts())
    return tuple(
        f"source: {most.signals[READ + sign]:,} of {most.rows_in:,} rows {text}"
        for sign, text in _TOLD.items()
        if most.signals.get(READ + sign)
    )


def _number(counts: Counts) -> int:
    listed: Mapping[str, int] = counts.signals
    return sum(number for name, number in listed.items() if name.startswith(READ))
