"""Checks of what the records of a run count: what a job cannot give, and what does not add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hardset.pipeline.audit.expected import Claims
from hardset.pipeline.dataset.provenance.environment import is_of_this_version
from hardset.pipeline.dataset.provenance.warnings import manifest_warnings
from hardset.pipeline.dataset.records.places import is_own, maker
from hardset.pipeline.sources.signs import READ
from hardset.schemas.job.recipes import Sample, is_attack
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import DataFile, Manifest, Output, Plan

_Fault = tuple[str, str]


def count_faults(manifest: Manifest, plan: Plan, claims: Mapping[str, Claims], path: str) -> Iterator[_Fault]:
    """Fault: place and sentence. `claims`: by shard key. `path`: of the manifest."""
    if (manifest.status == "incomplete") != bool(manifest.failures):
        yield path, f"its status is {manifest.status}, with {len(manifest.failures)} failed shards"
    for output in manifest.outputs:
        where = f"shard {output.index}"
        yield from ((where, what) for what in _files(output))
        if output.key in claims:
            yield from ((where, what) for what in _counts(output.counts, claims[output.key]))
            yield from ((where, what) for what in _excluded(output, claims[output.key]))
    yield from ((path, what) for what in _shards(manifest, plan, claims))
    if claims and is_of_this_version(manifest):
        job = next(iter(claims.values())).job
        if manifest.warnings != manifest_warnings(job, plan, manifest.outputs, manifest.clean):
            yield path, "its warnings are not those that its counts call for"


def _counts(counts: Counts, claims: Claims) -> Iterator[str]:
    recipe, job = claims.recipe, claims.job
    attack = is_attack(recipe)
    if counts.expected != counts.rows_in * claims.variants:
        yield f"{counts.expected} rows are due; its recipe makes {claims.variants} of each of {counts.rows_in}"
    if counts.dropped and (job.output.keep == "all" or not attack):
        yield f"{counts.dropped} rows are dropped; its job keeps all"
    held_out = len(claims.left_out) * claims.variants
    if counts.held_out != held_out:
        yield f"{counts.held_out} rows are held out; source.hold_out leaves out {held_out}"
    if min(counts.model_dump(exclude={"signals"}).values()) < 0 or min(counts.signals.values(), default=0) < 0:
        yield "holds a count below 0"
    of_source = {name: rows for name, rows in counts.signals.items() if name.startswith(READ)}
    if any(rows > counts.rows_in for rows in of_source.values()):
        yield f"counts more than {counts.rows_in} source rows by how they look"
    signals = {name: rows for name, rows in counts.signals.items() if name not in of_source}
    if not attack and (counts.attacked or counts.success or signals):
        yield "counts attacked rows; its recipe is no attack"
    judged = counts.rows_out + counts.dropped
    if not counts.success <= counts.attacked <= judged or any(rows > judged for rows in signals.values()):
        yield f"{counts.success} of {counts.attacked} attacked rows succeed, of {judged} judged; these cannot be"
    for name, rows in counts.signals.items():
        kind, _, model = name.partition(":")
        if kind.startswith("transfer_") and model not in {one.name for one in job.transfer_to}:
            yield f"counts {name}; its job has no such held-out model"
        if kind == "transfer_fooled" and rows > counts.signals.get(f"transfer_counted:{model}", 0):
            yield f"{name} is {rows}, more than were counted"


def _excluded(output: Output, claims: Claims) -> Iterator[str]:
    rows, shard = output.excluded, claims.shard
    if len(set(rows)) != len(rows) or not all(shard.start <= row < shard.stop for row in rows):
        yield "excludes a row twice, or one that is not its own"
    elif len(rows) * claims.variants > output.counts.quarantined:
        yield f"excludes {len(rows)} rows, and {output.counts.quarantined} are in quarantine"
    if output.device_batch is not None and not 1 <= output.device_batch < claims.job.run.batch:
        yield f"was made in parts of {output.device_batch} rows, of batches of {claims.job.run.batch}"


def _files(output: Output) -> Iterator[str]:
    pairs = ((output.data, output.counts.rows_out), (output.quarantine, output.counts.quarantined))
    for file, rows in pairs:
        if file is not None:
            yield from (f"{file.path} {what}" for what in _file(file, output, rows))


def _file(file: DataFile, output: Output, rows: int) -> Iterator[str]:
    if not is_own(file.path):
        yield "has no name that hardset gives"
    elif maker(file.path) != output.run_id[:8]:
        yield "is named for another run"
    elif file.sha256[:12] not in file.path.rpartition("/")[2]:
        yield "is named for another content than it is listed with"
    if file.rows != rows:
        yield f"is listed with {file.rows} rows; {rows} are counted"


def _shards(manifest: Manifest, plan: Plan, claims: Mapping[str, Claims]) -> Iterator[str]:
    """Parts of the source, or samples, that a recipe of the job has no shard of."""
    if len(claims) < len(plan.shards):
        yield "its plan has shards whose recipe or range is not that of its job"
        return
    found: dict[int, list[Claims]] = {}
    for one in claims.values():
        found.setdefault(one.shard.recipe, []).append(one)
    recipes = next(iter(claims.values())).job.recipes if claims else ()
    for position, recipe in enumerate(recipes):
        shards = found.get(position, [])
        if isinstance(recipe, Sample):
            spans = sorted((one.shard.start, one.shard.stop) for one in shards)
            edges = [0, *(stop for _, stop in spans)]
            if [start for start, _ in spans] != edges[:-1] or edges[-1] != recipe.per_class * len(plan.classes):
                yield f"recipes.{position} has no shards for all {recipe.per_class * len(plan.classes)} samples"
            continue
        ranges = [one.shard.range for one in shards]
        due = {number for number, part in enumerate(plan.ranges) if not part.kept}
        if len(set(ranges)) != len(ranges) or not due <= set(ranges):
            yield f"recipes.{position} has no shard, or two, for a range of the source"
