"""Clean rows for the pictures, read again from the plan's source and used only if they are unchanged."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import ValidationError

from hardset.pipeline.reporting.examples import CleanPixels, Image
from hardset.pipeline.sources.base import SourceReader, narrowed, unfixed
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import UserError
from hardset.schemas.job.sources import Source
from hardset.schemas.records.run import Output, Plan, SourceRange


def clean_pixels(plan_of: Callable[[str], Plan | None], source_of: Callable[[Plan], Source]) -> CleanPixels:
    """Function that looks up clean rows in the source.

    `plan_of`: plan of a run id, None if there is none. `source_of`: source section that the rows of a plan are read by;
    where it raises a UserError, as for a source that nobody has vouched for, there are no clean rows. A record of
    quarantine holds no digest; its row is found as the source has it now.
    """
    plan_of = cache(plan_of)
    readers: dict[str, SourceReader] = {}

    def look_up(output: Output, row: dict[str, Any]) -> Image | None:
        try:
            plan = plan_of(output.run_id)
            place = None if plan is None else _place(plan, output, row)
            if plan is None or place is None:
                return None
            if plan.run_id not in readers:
                readers[plan.run_id] = open_source(source_of(plan), plan.classes, plan.commit)
            found, _ = readers[plan.run_id].read(unfixed(place), plan.image, len(plan.classes))
        except (UserError, ValidationError, OSError, ImportError, ValueError):
            return None
        pixels: Image
        for key, pixels in zip(found.keys, found.pixels, strict=True):
            unchanged = "source_sha256" not in row or image_sha256(pixels) == row["source_sha256"]
            if key == row["source_key"] and unchanged:
                return pixels
        return None

    return look_up


def _place(plan: Plan, output: Output, row: dict[str, Any]) -> SourceRange | None:
    """The source range that holds the row, as narrow as its file allows."""
    shard = next((shard for shard in plan.shards if shard.key == output.key), None)
    if shard is None or shard.range is None:
        return None
    whole = plan.ranges[shard.range]
    start = row["source_index"]
    if whole.members:
        names = [f"{whole.file}/{member}" for member in whole.members]
        if row["source_key"] not in names:
            return None
        start = whole.start + names.index(row["source_key"])
    if start is None:
        return None
    if whole.picked:
        if start not in whole.picked:
            return None
        start = whole.start + whole.picked.index(start)
    return narrowed(whole, start, start + 1)
