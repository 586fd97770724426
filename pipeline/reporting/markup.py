"""HTML escaped by construction: text becomes markup only through `text` or `element`."""

from __future__ import annotations

import html
from collections.abc import Iterable

from hardset.pipeline.reporting.wording import public_text

_VOID = frozenset({"img", "meta", "br"})

Attribute = str | int | float | bool | None


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Markup | str | int | None


def text(value: str | int) -> Markup:
    """Any text as HTML, with secrets removed from URLs."""
    return Markup(html.escape(public_text(str(value))))


def element(name: str, *children: Child | Iterable[Child], **attributes: Attribute) -> Markup:
    """One HTML element. Strings are escaped, markup is not, None is left out.

    Attributes: `class_` becomes class, other underscores become dashes; None and False omit the attribute, True writes
    it without a value.
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opening if name in _VOID else f"{opening}{join(*children)}</{name}>")


def join(*children: Child | Iterable[Child]) -> Markup:
    """Concatenation of elements and texts."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(text(child))
        else:
            parts.append(join(*child))
    return Markup("".join(parts))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {name}="{text(shown)}"'
