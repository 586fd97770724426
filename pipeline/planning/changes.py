"""Changes of a source since an earlier run of the same job, and their effect on a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from pydantic import TypeAdapter

from hardset.pipeline.sources import ranges as cutting
from hardset.pipeline.sources.table import settled
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import ImageSource, Source, StoredSource
from hardset.schemas.records.run import Changes, Manifest, Plan, SourceRange

SHOWN = 100
"""Number of names of each kind that a warning tells."""
POLICIES = frozenset({"changed", "vanished"})
"""Settings of a source that do not affect the bytes of a shard."""
Kind = Literal["new", "changed", "vanished"]
_SOURCE: TypeAdapter[Source] = TypeAdapter(Source)


@dataclass(frozen=True)
class Earlier:
    """The newest finished run of a job, as the next one sees it."""

    manifest: Manifest
    plan: Plan
    available: frozenset[str]
    """Keys of the shards that it lists and whose files are there."""


def comparable(job: Job, earlier: Earlier | None) -> Earlier | None:
    """The earlier run where it read the same source in the same way; None where there is nothing to compare with."""
    if earlier is None:
        return None
    before = _SOURCE.validate_python(earlier.plan.job["source"])
    return earlier if _reading(before) == _reading(job.source) else None


def _reading(spec: ImageSource) -> Mapping[str, object]:
    found = spec.model_dump(mode="json", exclude=set(POLICIES))
    return found | ({"path": public_name(found["path"])} if "path" in found else {})


def compare(earlier: Earlier, ranges: Iterable[SourceRange]) -> Changes:
    """Changes of the files of `ranges` against those that the earlier run lists rows of."""
    before, now = _files(earlier.plan.ranges), _files(ranges)
    found: dict[Kind, list[str]] = {
        "new": [name for name in now if name not in before],
        "changed": [name for name in now if name in before and _differ(before[name], now[name])],
        "vanished": [name for name in before if name not in now],
    }
    shown = {kind: tuple(names[:SHOWN]) for kind, names in found.items()}
    return Changes(since=earlier.manifest.run_id, **shown, counts={kind: len(names) for kind, names in found.items()})


def _files(ranges: Iterable[SourceRange]) -> dict[str, str | None]:
    """Digest by file; None where an older version of hardset kept none."""
    found: dict[str, str | None] = {}
    for part in ranges:
        if part.members:
            for member, digest in zip_longest(part.members, part.member_digests):
                found[f"{part.file}/{member}"] = digest
        else:
            found[part.file] = part.digest
    return found


def _differ(before: str | None, now: str | None) -> bool:
    return before is not None and now is not None and before != now


def merged(spec: ImageSource, earlier: Earlier, ranges: Sequence[SourceRange], shard_rows: int) -> list[SourceRange]:
    """`ranges` of the source as it is, with those of the earlier run in their place that the job keeps.

    A file that changed keeps its earlier ranges instead of those it would have now. So does a class folder: its earlier
    ranges stay as they were, and its other files make ranges after them, which have no digest yet.
    """
    spec = settled(spec)
    if not isinstance(spec, StoredSource) or "keep" not in (spec.changed, spec.vanished):
        return list(ranges)
    now, before = _files(ranges), _by_file(earlier.plan.ranges)
    found: list[SourceRange] = []
    for file, parts in _by_file(ranges).items():
        found += _kept_or_now(spec, before.pop(file, []), parts, now, shard_rows)
    if spec.vanished == "keep":
        found += [part.model_copy(update={"kept": True}) for parts in before.values() for part in parts]
    return found


def _kept_or_now(
    spec: StoredSource,
    before: list[SourceRange],
    parts: list[SourceRange],
    now: Mapping[str, str | None],
    shard_rows: int,
) -> list[SourceRange]:
    faults = [{kind for kind in _faults(part, now) if kind is not None} for part in before]
    stays = [all(getattr(spec, kind) == "keep" for kind in kinds) for kinds in faults]
    if not any(kinds and stay for kinds, stay in zip(faults, stays, strict=True)):
        return parts
    kept = [
        part.model_copy(update={"kept": bool(kinds)})
        for part, kinds, stay in zip(before, faults, stays, strict=True)
        if stay
    ]
    listed = {member for part in kept for member in part.members}
    rest = [member for part in parts for member in part.members if member not in listed]
    return [*kept, *_further(parts[0], rest, max(part.stop for part in before), shard_rows)]


def _faults(part: SourceRange, now: Mapping[str, str | None]) -> Iterator[Literal["changed", "vanished"]]:
    """Fate of the files of an earlier range."""
    for name, digest in _files([part]).items():
        if name not in now:
            yield "vanished"
        elif _differ(digest, now[name]):
            yield "changed"


def _further(like: SourceRange, members: Sequence[str], begin: int, shard_rows: int) -> Iterator[SourceRange]:
    """Ranges of further members of a class folder, from position `begin` on."""
    for start, stop in cutting.cut(0, len(members), shard_rows):
        yield like.model_copy(
            update={
                "start": begin + start,
                "stop": begin + stop,
                "members": tuple(members[start:stop]),
                "member_digests": (),
                "digest": "",
            }
        )


def _by_file(ranges: Iterable[SourceRange]) -> dict[str, list[SourceRange]]:
    found: dict[str, list[SourceRange]] = {}
    for part in ranges:
        found.setdefault(part.file, []).append(part)
    return found


def check_changes(spec: ImageSource, changes: Changes | None) -> None:
    """Raises JobError where files changed or vanished and the job says to fail then."""
    for kind, text in _told(changes):
        if policy(spec, kind) == "fail":
            raise JobError(
                f"source.{kind}: {text}, and the job says fail; mend the source, or say what to do with "
                f"--set source.{kind}={'remake' if kind == 'changed' else 'drop'} or keep"
            )


def change_warnings(spec: ImageSource, changes: Changes | None) -> tuple[str, ...]:
    """Warnings of what changed or vanished and what becomes of its rows, one sentence each."""
    return tuple(f"source.{kind}: {text}: {_becomes(spec, kind)}" for kind, text in _told(changes))


def _told(changes: Changes | None) -> Iterator[tuple[Literal["changed", "vanished"], str]]:
    if changes is None:
        return
    if changes.changed:
        yield "changed", _since("changed", changes.counts["changed"], changes.changed[0], changes)
    if changes.vanished:
        yield "vanished", _since("vanished", changes.counts["vanished"], changes.vanished[0], changes)


def _since(what: str, number: int, name: str, changes: Changes) -> str:
    return f"{number:,} file{'s' if number > 1 else ''} {what} since run {changes.since}, such as {name}"


def _becomes(spec: ImageSource, kind: Literal["changed", "vanished"]) -> str:
    return {
        "remake": "their rows are made anew",
        "drop": "their rows are listed no more",
        "keep": "their earlier rows stay listed",
        "fail": "generate refuses to go on",
    }[policy(spec, kind)]


def policy(spec: ImageSource, kind: Literal["changed", "vanished"]) -> str:
    """What the job does with files of this fate."""
    found = settled(spec)
    if isinstance(found, StoredSource):
        return found.changed if kind == "changed" else found.vanished
    return "remake" if kind == "changed" else "drop"
