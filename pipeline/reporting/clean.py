"""Clean rows for the pictures, read again from the plan's source and used only if they are unchanged."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hardset.pipeline.reporting.examples import CleanPixels, Image
from hardset.pipeline.sources.base import SourceReader, narrowed
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import UserError
from hardset.schemas.job.sources import Source
from hardset.schemas.records.run import Output, Plan, SourceRange


def clean_pixels(plan_of: Callable[[str], Plan | None]) -> CleanPixels:
    """Function that looks up clean rows in the source. `plan_of`: plan of a run id, None if there is none."""
    plan_of, reader = cache(plan_of), cache(_reader)

    def look_up(output: Output, row: dict[str, Any]) -> Image | None:
        try:
            plan = plan_of(output.run_id)
            place = None if plan is None else _place(plan, output, row)
            if plan is None or place is None:
                return None
            found, _ = reader(_source_json(plan)).read(place, plan.image, len(plan.classes))
        except (UserError, ValidationError, OSError, ImportError, ValueError):
            return None
        pixels: Image
        for key, pixels in zip(found.keys, found.pixels, strict=True):
            if key == row["source_key"] and image_sha256(pixels) == row["source_sha256"]:
                return pixels
        return None

    return look_up


def _source_json(plan: Plan) -> str:
    return TypeAdapter(dict[str, Any]).dump_json(plan.job["source"]).decode()


def _reader(source_json: str) -> SourceReader:
    return open_source(TypeAdapter(Source).validate_json(source_json))


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
    return narrowed(whole, start, start + 1)
