"""Plans of jobs: the shards there are, and the key that fixes each shard's bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from hardset.pipeline.attacks.l0 import check_budget
from hardset.pipeline.attacks.regions import check_region
from hardset.pipeline.augment.table import settled
from hardset.pipeline.models.loading import model_digests, network_sha256
from hardset.pipeline.models.roles import transfer_role
from hardset.pipeline.planning.apart import check_apart, check_links
from hardset.pipeline.planning.carried_columns import planned_columns
from hardset.pipeline.planning.changes import Earlier, comparable, compare, merged
from hardset.pipeline.planning.class_map import class_warnings, planned_classes
from hardset.pipeline.planning.keys import common, determinants, range_key, sample_key
from hardset.pipeline.planning.partner_pools import planned_partners, pooled
from hardset.pipeline.recipes.generator_files import generator_digest
from hardset.pipeline.recipes.table import recipe_text, settled_job
from hardset.pipeline.sources.base import SourceReader, warnings_of
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.sources.stratified import limit_warnings
from hardset.pipeline.sources.table import open_source, reading_id, version_of
from hardset.pipeline.sources.unreadable import unreadable_warnings
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.base import Spec
from hardset.schemas.digests import plan_digest, recipe_id, run_id
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.quantities import bounds
from hardset.schemas.job.recipes import Attack, Sample, operations_of
from hardset.schemas.records.run import Image, Plan, Shard, SourceRange
from hardset.schemas.rows.contract import CONTRACT_VERSION

SAMPLE_SPLIT = TRAINING_SPLIT
"""Generated rows have no parent whose split they could inherit."""


def make_plan(job: Job, earlier: Earlier | None = None) -> Plan:
    """All shards of `job`. Reads listings, row counts and digests; writes nothing but the cache of digests.

    `earlier`: the newest finished run of the job, whose shards of files that changed or vanished are in the plan too
    where the job keeps them. Raises JobError where the source, the weights or the class count cannot be used.
    """
    job = settled_job(job)
    check_apart(job)
    commit = version_of(job.source)
    source = open_source(job.source, commit=commit)
    image, classes = planned_image(job, source, earlier), planned_classes(job, source, earlier)
    told = (*warnings_of(source), *class_warnings(job, source, classes, earlier))
    if source.class_names() not in (None, classes):  # labels that are numbers alone mean the same under any names
        source = open_source(job.source, classes, commit)
    user = planned_columns(job, source, earlier)
    _check_regions(job, image)
    _check_operations(job, image)
    models = _models(job, len(classes), image)
    fixed = determinants(job, source.name, image, classes, CONTRACT_VERSION, user)
    texts = [recipe_text(recipe, position, models) for position, recipe in enumerate(job.recipes)]
    now = source.plan(job.output.shard_rows)
    partners = planned_partners(job, source, now, image, len(classes), earlier)
    commons = [
        common(job, position, models, {**fixed, "recipe": text, **pooled(job.recipes[position], partners)})
        for position, text in enumerate(texts)
    ]
    kept = earlier.available if earlier is not None else frozenset()
    same = comparable(job, earlier)
    check_links(job, now)
    ranges = tuple(now if same is None else _with_kept(job, source, same, now, commons))
    shards = tuple(_shards(job, ranges, commons, len(classes), kept))
    return Plan(
        contract=CONTRACT_VERSION,
        run_id=run_id(plan_digest(job.name, (shard.key for shard in shards), job.logical_date)),
        logical_date=job.logical_date,
        job=public_job(job),
        classes=classes,
        image=image,
        models=models,
        recipes=tuple(map(recipe_id, texts)),
        reading=reading_id(job.source),
        commit=commit,
        ranges=ranges,
        shards=shards,
        changes=None if same is None else compare(same, now),
        user_columns=user,
        partners=partners,
        warnings=(*told, *unreadable_warnings(ranges), *limit_warnings(job.source, source, ranges, classes)),
    )


def planned_image(job: Job, source: SourceReader, earlier: Earlier | None) -> Image:
    """Shape of every row; channels that nobody chose stay those of the earlier run, whatever a new sample says."""
    image, same = source.probe(), comparable(job, earlier)
    if same is None or job.source.channels != "auto":
        return image
    return image.model_copy(update={"channels": same.plan.image.channels})


def public_job(job: Spec) -> dict[str, Any]:
    """A resolved job of any verb without user names, passwords or query strings in its URLs."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return public_name(value) if isinstance(value, str) else value

    cleaned: dict[str, Any] = clean(job.model_dump(mode="json"))
    return cleaned


def _models(job: Job, classes: int, image: Image) -> dict[str, str]:
    digests = {} if job.model is None else model_digests(job.model)
    for position, held_out in enumerate(job.transfer_to):
        digests[transfer_role(held_out.name)] = network_sha256(held_out, at=f"transfer_to.{position}")
    for position, recipe in enumerate(job.recipes):
        if isinstance(recipe, Sample):
            digests[f"generator:{position}"] = generator_digest(
                recipe.generator, at=f"recipes.{position}.generator", classes=classes, image=image
            )
    return digests


def _check_regions(job: Job, image: Image) -> None:
    for position, recipe in enumerate(job.recipes):
        if not isinstance(recipe, Attack):
            continue
        check_budget(recipe.norm, bounds(recipe.eps)[1], image, at=f"recipes.{position}.eps")
        region = recipe.region
        if region is None:
            continue
        try:
            check_region(region, (image.height, image.width))
        except ValueError as error:
            raise JobError(f"recipes.{position}.region: a {error}; make it smaller or move it") from None


def _check_operations(job: Job, image: Image) -> None:
    """Refuses operations that cannot be found, do not take their settings, or do not suit images of this shape."""
    strengths: dict[str, str] = {}
    for position, recipe in enumerate(job.recipes):
        for number, spec in enumerate(operations_of(recipe)):
            at = f"recipes.{position}.ops.{number}"
            operation = settled(spec, at=at)
            try:
                operation.check_image(image.height, image.width, image.channels)
            except ValueError as error:
                raise JobError(f"{at}.{error}") from None
            for name in operation.strengths_used(image.height, image.width):
                strengths.setdefault(name, at)
    if len(strengths) > 1:
        (one, first), (other, second) = strengths.items()
        raise JobError(
            f"{second}: has the strengths {other}, and {first} has {one}; severities of the two are not comparable, so "
            "that one dataset has one of them"
        )


def _with_kept(
    job: Job, source: SourceReader, earlier: Earlier, ranges: Sequence[SourceRange], commons: Sequence[str]
) -> Iterator[SourceRange]:
    """`ranges` of the source as it is, and those of the earlier run that the job keeps and that have a shard."""
    found = merged(job.source, earlier, ranges, job.output.shard_rows)
    fixed = iter(source.fixed([part for part in found if not part.digest]))
    for part in found:
        if not part.kept:
            yield part if part.digest else next(fixed)
        elif any(range_key(common, part) in earlier.available for common in commons):
            yield part


def _shards(
    job: Job, ranges: tuple[SourceRange, ...], commons: Sequence[str], classes: int, kept: Collection[str]
) -> Iterator[Shard]:
    """`kept`: keys that shards of kept ranges must have, as nothing can be made of those."""
    index = 0
    for position, (recipe, own) in enumerate(zip(job.recipes, commons, strict=True)):
        if isinstance(recipe, Sample):
            places: list[tuple[int | None, str, int, int]] = [
                (None, SAMPLE_SPLIT, start, stop)
                for start, stop in _cuts(recipe.per_class * classes, job.output.shard_rows)
            ]
        else:
            places = [(number, item.split, item.start, item.stop) for number, item in enumerate(ranges)]
        for number, split, start, stop in places:
            part = None if number is None else ranges[number]
            key = sample_key(own, start, stop) if part is None else range_key(own, part)
            if part is not None and part.kept and key not in kept:
                continue
            yield Shard(index=index, key=key, recipe=position, range=number, split=split, start=start, stop=stop)
            index += 1


def _cuts(rows: int, most: int) -> list[tuple[int, int]]:
    return [(start, min(start + most, rows)) for start in range(0, rows, most)]
