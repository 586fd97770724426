"""Checks that what the records of a run say of its job, its recipes and its shard keys is one and the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hardset.pipeline.audit.recorded_job import recorded_job
from hardset.pipeline.dataset.provenance.environment import is_of_this_version
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.planning.keys import common, determinants, range_key, sample_key
from hardset.pipeline.planning.partner_pools import pooled
from hardset.schemas.job.recipe_texts import agrees
from hardset.schemas.job.sources import UserSource
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.rows.contract import CONTRACT_VERSION


def agreement_faults(plan: Plan, manifest: Manifest) -> Iterator[tuple[int | None, str]]:
    """Fault: number of the shard, None for the plan as a whole, and a sentence. Runs no code and opens no place."""
    if plan.job != manifest.job:
        yield None, "its job is not that of the manifest"
        return
    texts: list[Mapping[str, Any]] = []
    for position, declared in enumerate(plan.job["recipes"]):
        text = text_of(plan, manifest, position)
        if text is None:
            yield None, f"recipes.{position} of its job is no recipe that the manifest lists ({declared.get('kind')})"
        else:
            texts.append(text)
    if len(texts) == len(plan.job["recipes"]):
        yield from _key_faults(plan, manifest, texts)


def text_of(plan: Plan, manifest: Manifest, position: int) -> Mapping[str, Any] | None:
    """The recipe text of the manifest that stands for a recipe of the plan's job; None where there is none."""
    declared = plan.job["recipes"][position]
    wanted = {"model": plan.models.get(VICTIM), "generator": plan.models.get(f"generator:{position}")}
    listed = plan.recipes[position : position + 1] or tuple(manifest.recipes)  # plans before 0.2.0 name no recipes
    for name in listed:
        text = manifest.recipes.get(name)
        if text is not None and agrees({key: value for key, value in declared.items() if key != "generator"}, text):
            digests = {key: text[key] for key in wanted if key in text}
            if all(digests[key] == wanted[key] for key in digests):
                return text
    return None


def _key_faults(plan: Plan, manifest: Manifest, texts: list[Mapping[str, Any]]) -> Iterator[tuple[int | None, str]]:
    """Shards whose key does not follow from the records.

    Keys are worked out as this version does: those of others hold other settings. What the code of a source of a user's
    own adds to them is not known without running it.
    """
    try:
        job = recorded_job(plan)
    except ValidationError as error:
        yield None, f"its job is none: {error.errors(include_url=False)[0]['msg']}"
        return
    is_ours = plan.contract == CONTRACT_VERSION and is_of_this_version(manifest)
    if not is_ours or isinstance(job.source, UserSource):
        return
    # The name of a source is its path, as the records have it, or that of a bundled one.
    fixed = determinants(
        job, getattr(job.source, "path", job.source.format), plan.image, plan.classes, plan.contract, plan.user_columns
    )
    try:
        commons = [
            common(job, at, plan.models, {**fixed, "recipe": text, **pooled(job.recipes[at], plan.partners)})
            for at, text in enumerate(texts)
        ]
    except KeyError as error:
        yield None, f"it holds no digest of {error.args[0]}, which its job names"
        return
    for shard in plan.shards:
        own = commons[shard.recipe]
        if shard.range is None:
            key = sample_key(own, shard.start, shard.stop)
        else:
            key = range_key(own, plan.ranges[shard.range])
        if key != shard.key:
            yield shard.index, "its key does not follow from the job, its recipe and its range"
