"""Source and output kept apart: a night that read its own rows would attack what it made the night before."""

from __future__ import annotations

from collections.abc import Iterable
from glob import has_magic
from pathlib import Path

from hardset.pipeline.sources.files import resolve
from hardset.pipeline.sources.fingerprints import is_local
from hardset.pipeline.sources.table import settled
from hardset.pipeline.storage.folder import public_name
from hardset.pipeline.storage.nesting import lies_in, matches_in, where
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import StoredSource
from hardset.schemas.records.run import SourceRange

_MEND = "the next run would read its own rows; choose another folder for one of them"


def check_apart(job: Job) -> None:
    """Raises JobError where the output lies in the source, the source in the output, or both are one. Opens nothing."""
    spec = settled(job.source)
    if not isinstance(spec, StoredSource) or not spec.path.strip():
        return
    out, shown, source = where(job.output.path), public_name(job.output.path), public_name(spec.path)
    place = where(spec.path)
    is_glob = has_magic(spec.path.partition("?")[0]) and not (place.protocol == "" and Path(place.path).exists())
    if is_glob and not lies_in(place, out):
        if matches_in(spec.path, out):
            raise JobError(f"output.path: {shown} holds what source.path ({source}) matches; {_MEND}")
        return
    if place == out:
        raise JobError(f"output.path: {shown} is the folder of the source; {_MEND}")
    if lies_in(place, out):
        raise JobError(f"output.path: the source ({source}) lies in {shown}; {_MEND}")
    if lies_in(out, place):
        raise JobError(f"output.path: {shown} lies in the source ({source}); {_MEND}")


def check_links(job: Job, ranges: Iterable[SourceRange]) -> None:
    """Raises JobError where a link in the source leads files of the output into the plan."""
    spec = settled(job.source)
    if not isinstance(spec, StoredSource) or not is_local((place := resolve(spec.path)).fs):
        return
    out = where(job.output.path)
    for name in dict.fromkeys(part.file for part in ranges if not part.kept):
        if not out.protocol and lies_in(where(place.path_of(name)), out):
            raise JobError(f"output.path: {name} of the source is a link into {job.output.path}; {_MEND}")
