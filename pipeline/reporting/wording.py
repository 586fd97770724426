"""Wording of figures and settings: in words, with units, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.text import printable

NONE = "\N{EN DASH}"
"""Placeholder for a missing value."""

_SECRETS = re.compile(r"(\w+://)(?:[^\s/@]*@)?([^\s?#]*)(?:[?#]\S*)?")
_MOST_LISTED = 4


def public_text(text: str) -> str:
    """`text` without control characters, with user, password, query and fragment removed from URLs."""
    return _SECRETS.sub(r"\1\2", printable(text))


def seconds_between(started: str, finished: str) -> float | None:
    """Seconds from one ISO 8601 moment to another; None where either is none."""
    try:
        return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return None


def clipped(text: str, most: int = 80) -> str:
    """`text` cut to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """Number and noun, as `1 row` or `2,048 rows`; `nouns`: the plural where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def percent(share: float | None) -> str:
    """A share as `93.1 %`, or a dash for None. Only exact 0 and 1 are shown as 0 % and 100 %."""
    if share is None:
        return NONE
    if 0 < share < 0.0005:
        words = "< 0.1"
    elif 0.9995 <= share < 1:
        words = "> 99.9"
    else:
        words = f"{share * 100:.0f}" if share in (0, 1) else f"{share * 100:.1f}"
    return f"{words}\N{NO-BREAK SPACE}%"


def number(value: float, digits: int = 4) -> str:
    """A number with at most `digits` significant digits, without an exponent at common sizes."""
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A duration as `3.2 s`, `2 min 16 s` or `1 h 5 min`."""
    if seconds < 60:
        return f"{number(seconds, 3)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """A number of bytes as `512 B`, `1.5 MB` or `2.03 GB`; a MB is 1,000,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(count, 3)} {unit}"
        count /= 1000
    return f"{number(count, 3)} TB"


def amount(value: Any, norm: str = "linf") -> str:
    """A budget or step on the [0, 1] pixel scale in common notation: `8/255`, `0.15`, `2/255 to 8/255`, L2 `0.8`.

    A few budgets are listed (`2/255 and 4/255`), many are counted (`8 budgets from 1/255 to 16/255`).
    """
    if isinstance(value, Mapping):
        return f"{amount(value['min'], norm)} to {amount(value['max'], norm)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        several = [amount(one, norm) for one in value]
        if len(several) > _MOST_LISTED:
            return f"{len(several)} budgets from {several[0]} to {several[-1]}"
        return " and ".join(filter(None, (", ".join(several[:-1]), several[-1])))
    exact = Fraction(str(value))
    levels = exact * 255
    if norm == "linf" and levels.denominator == 1 and 0 < exact < 1:
        return f"{levels.numerator}/255"
    return number(float(exact))


def class_name(classes: tuple[str, ...], label: int | None) -> str:
    """Name of a class, clipped; a dash for None."""
    if label is None:
        return NONE
    return clipped(classes[label] if 0 <= label < len(classes) else str(label), 40)


def recipe_title(text: Mapping[str, Any]) -> str:
    """Short title of a recipe, as `PGD, Linf, eps 8/255`."""
    if text["kind"] == "augment" or text.get("name") == WORST_OF:
        what = "Augment" if text["kind"] == "augment" else f"Worst of {text['tries']}"
        return f"{what}: " + ", ".join(str(operation["name"]).replace("_", " ") for operation in text["ops"])
    if text["kind"] == "attack":
        norm = STORED_NORMS.get(text["norm"], str(text["norm"]))
        aim = "" if text.get("target") is None else ", targeted"
        name = str(text["name"])
        return f"{name if ':' in name else name.upper()}, {norm}, eps {amount(text['eps'], text['norm'])}{aim}"
    return "Samples of a GAN" if text["kind"] == "sample" else str(text["kind"])


def recipe_details(text: Mapping[str, Any]) -> str:
    """Settings of a recipe that its title leaves out."""
    if "ops" in text:
        made = counted(text["variants"], "variant") if "variants" in text else counted(text["tries"], "try", "tries")
        return f"{'; '.join(map(_operation, text['ops']))}; {made} per row"
    if text["kind"] == "attack":
        return ", ".join(_attack_details(text))
    return f"{counted(text['per_class'], 'row')} per class" if "per_class" in text else ""


def _attack_details(text: Mapping[str, Any]) -> Iterator[str]:
    steps, starts = text.get("steps"), text.get("restarts") or 1
    if steps:
        size = f" of {amount(text['step_size'], text['norm'])}" if text.get("step_size") else ""
        yield counted(steps, "step") + size
    if starts > 1 or text.get("random_start"):
        yield counted(starts, "random start" if text.get("random_start") else "start")
    if text.get("target") is not None:
        yield f"target {str(text['target']).replace('_', ' ')}"
    if text.get("objective") not in (None, "cross_entropy"):
        yield f"objective {str(text['objective']).replace('_', ' ')}"
    for name, value in (text.get("settings") or {}).items():
        yield f"{name.replace('_', ' ')} {value}"
    if region := text.get("region"):
        yield f"only in {region['height']} x {region['width']} pixels"
    if (text.get("eot") or 1) > 1:
        yield f"{text['eot']:,} passes for each gradient"
    if steps != 1 and text.get("stop"):
        yield _stop(text["stop"])


def _stop(stop: Any) -> str:
    if isinstance(stop, Mapping):
        return f"stops {counted(stop['after_success'], 'step')} after success"
    return "stops at success" if stop == "success" else "spends all steps"


def _operation(operation: Mapping[str, Any]) -> str:
    units = {
        "degrees": "{}°" if isinstance(operation.get("degrees"), Mapping | list) else "up to {}°",
        "padding": "up to {} px",
        "std": "standard deviation {}",
        "p": "probability {}",
    }
    settings = [
        units.get(key, key + " {}").format(_amount_of(value) if key in units else value)
        for key, value in operation.items()
        if key != "name" and not (key == "p" and value == 1)
    ]
    return " ".join([str(operation["name"]).replace("_", " "), ", ".join(settings)]).strip()


def _amount_of(value: Any) -> str:
    """A number of an operation, a range or a list of them, in words."""
    if isinstance(value, Mapping):
        return f"{_amount_of(value['min'])} to {_amount_of(value['max'])}"
    if isinstance(value, list | tuple):
        return " or ".join(map(_amount_of, value))
    return number(float(Fraction(str(value))))


def eps_of_row(eps: float, norm: str) -> str:
    """Budget of one row, as `8/255`, or `0.15` if it is not a whole number of levels."""
    levels = eps * 255
    on_grid = norm == STORED_NORMS["linf"] and abs(levels - round(levels)) < 1e-6
    return f"{round(levels)}/255" if on_grid else number(eps, 3)
