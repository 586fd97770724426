"""What came of making a row again."""

from __future__ import annotations

from hardset.jobs.terminal.console import count, say
from hardset.pipeline.audit.replay import DIFFERS, PixelDifference, Replayed


def tell(done: Replayed) -> None:
    """Says whether the row is the same, and where it differs."""
    if done.where is None:
        say(f"{done.row_id}: the same, bit for bit ({done.op}, shard {done.shard})")
    else:
        _tell_difference(done, done.where)
    if done.columns_differing:
        say(f"Columns that differ: {', '.join(done.columns_differing)}")


def _tell_difference(done: Replayed, place: PixelDifference) -> None:
    what = "differs" if done.result == DIFFERS else "the same within the tolerance for what was made elsewhere: differs"
    values = count(done.differing_values, "value")
    say(f"{done.row_id}: {what} in {values}, by {count(done.largest_difference, 'level')} at most")
    top, left, bottom, right = place.box
    first = (
        f"row {place.row}, column {place.column}, channel {place.channel}: {place.stored} stored, {place.again} again"
    )
    say(f"First at {first}; all in rows {top} to {bottom - 1}, columns {left} to {right - 1}")
    if done.elsewhere:
        say(f"It was made with {', '.join(done.elsewhere)}")
