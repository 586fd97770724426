"""Error that a conformance kit raises."""

from __future__ import annotations


class NonconformityError(AssertionError):
    """An extension does not keep a law; the message says which, and what follows from it."""
