"""Largest counts that settings take: beyond them no machine goes, and a slip of the finger does."""

MOST_ACTORS = 100_000
MOST_CLASSES = 1_000_000
MOST_BATCH = 1_000_000
