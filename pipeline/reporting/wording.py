"""How figures and settings are said: in words, with units, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

NONE = "\N{EN DASH}"
"""Stands where there is no value."""

_SECRETS = re.compile(r"(\w+://)(?:[^\s/@]*@)?([^\s?#]*)(?:[?#]\S*)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # bidi overrides can disguise a text


def public_text(text: str) -> str:
    """`text` without control characters, and its URLs without user, password, query and fragment."""
    return _SECRETS.sub(r"\1\2", _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def clipped(text: str, most: int = 80) -> str:
    """At most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,048 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """`93.1 %`; a dash where there is no share. What is not all or nothing is never rounded to it."""
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
    """At most `digits` significant digits, without an exponent for everyday sizes."""
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def amount(value: Any, norm: str = "linf") -> str:
    """A budget or step on the [0, 1] pixel scale as people write it: `8/255`, `0.15`, `2/255 to 8/255`, L2 `0.8`."""
    if isinstance(value, Mapping):
        return f"{amount(value['min'], norm)} to {amount(value['max'], norm)}"
    exact = Fraction(str(value))
    levels = exact * 255
    if norm == "linf" and levels.denominator == 1 and levels:
        return f"{levels.numerator}/255"
    return number(float(exact))


def class_name(classes: tuple[str, ...], label: int | None) -> str:
    """Name of a class, clipped; a dash for none."""
    if label is None:
        return NONE
    return clipped(classes[label] if 0 <= label < len(classes) else str(label), 40)


def recipe_title(text: Mapping[str, Any]) -> str:
    """A recipe in a few words: `PGD, Linf, eps 8/255`."""
    if text["kind"] == "attack":
        norm = {"linf": "Linf", "l2": "L2"}.get(text["norm"], str(text["norm"]))
        aim = "" if text.get("target") is None else ", targeted"
        return f"{str(text['name']).upper()}, {norm}, eps {amount(text['eps'], text['norm'])}{aim}"
    if text["kind"] == "augment":
        return "Augment: " + ", ".join(str(operation["name"]).replace("_", " ") for operation in text["ops"])
    return "Samples of a GAN" if text["kind"] == "sample" else str(text["kind"])


def recipe_details(text: Mapping[str, Any]) -> str:
    """The settings that the title leaves out."""
    if text["kind"] == "attack":
        return ", ".join(_attack_details(text))
    if text["kind"] == "augment":
        operations = "; ".join(map(_operation, text["ops"]))
        return f"{operations}; {counted(text['variants'], 'variant')} of each row"
    return f"{counted(text['per_class'], 'row')} per class" if "per_class" in text else ""


def _attack_details(text: Mapping[str, Any]) -> list[str]:
    details = [
        counted(text["steps"], "step")
        + (f" of {amount(text['step_size'], text['norm'])}" if text.get("step_size") else "")
    ]
    if text["restarts"] > 1 or text.get("random_start"):
        details.append(counted(text["restarts"], "random start" if text.get("random_start") else "start"))
    if text.get("target") is not None:
        details.append(f"target {str(text['target']).replace('_', ' ')}")
    if text["steps"] > 1:
        details.append("stops at success" if text.get("stop") == "success" else "spends all steps")
    return details


def _operation(operation: Mapping[str, Any]) -> str:
    units = {"degrees": "up to {}°", "padding": "up to {} px", "std": "standard deviation {}", "p": "probability {}"}
    settings = [
        units.get(key, key + " {}").format(number(float(Fraction(str(value)))) if key in units else value)
        for key, value in operation.items()
        if key != "name" and not (key == "p" and value == 1)
    ]
    return " ".join([str(operation["name"]).replace("_", " "), ", ".join(settings)]).strip()


def eps_of_row(eps: float, norm: str) -> str:
    """The budget of one row: `8/255`, or on no whole level `0.15`."""
    levels = eps * 255
    return f"{round(levels)}/255" if norm == "Linf" and abs(levels - round(levels)) < 1e-6 else number(eps, 3)
