"""Text of strangers, such as class names and messages: made harmless before it is shown."""

from __future__ import annotations

import re

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, line ends and tabs aside, and marks of writing direction, which can disguise a text."""
_MARKUP = re.compile(r"([\\`|<>\[\]])")


def printable(text: str) -> str:
    """`text` with a replacement character for each control character: a terminal obeys escape sequences in it."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def markdown(text: str) -> str:
    """`text` on one line of Markdown, where it makes no link, table, code or HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(printable(text).split()))
