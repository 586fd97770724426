"""What the records of a run say that the rows of one shard must be, worked out without running code of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from hardset.pipeline.audit.agreement import text_of
from hardset.pipeline.audit.recorded_job import recorded_job, recorded_op
from hardset.pipeline.judging.judge import verify_id
from hardset.pipeline.models.loading import generator_id, model_id
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.sources.base import key_of
from hardset.pipeline.sources.hold_out import held_out
from hardset.schemas.digests import recipe_id
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Attack, Recipe, Sample, WorstOf, is_attack
from hardset.schemas.job.sources import UserSource
from hardset.schemas.records.run import Image, Manifest, Output, Plan, Shard, SourceRange
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, CONTRACT_VERSION, GENERATED

KIND_OF = {"attack": ADVERSARIAL, "augment": AUGMENTED, "sample": GENERATED}
"""Kind of the rows that each kind of recipe makes."""
_OPS = {"augment": "augment", "sample": "gan"}


@dataclass(frozen=True)
class Claims:
    """What plan and manifest say of one shard."""

    job: Job
    raw: Mapping[str, Any]
    """The job as the records have it: names of networks are spelt as the run's version of hardset spelt them."""
    shard: Shard
    part: SourceRange | None
    """Rows of the source that went in; None for samples."""
    recipe_id: str
    text: Mapping[str, Any]
    """The resolved recipe, which `recipe_id` is the digest of."""
    models: Mapping[str, str]
    classes: int
    partners: tuple[str, ...] = ()
    """Keys of the pool that mixing draws from, of the shard's split."""

    @property
    def recipe(self) -> Recipe:
        """The recipe as the job declares it."""
        return self.job.recipes[self.shard.recipe]

    @property
    def variants(self) -> int:
        """Rows that are due of each row that goes in."""
        return 1 if isinstance(self.recipe, Sample) else self.recipe.variants

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Value by column where all rows of the shard have one, and no code from elsewhere decides it."""
        recipe = self.recipe
        found: dict[str, Any] = {"recipe_id": self.recipe_id, "kind": KIND_OF[recipe.kind]}
        found["op"] = WORST_OF if isinstance(recipe, WorstOf) else _OPS.get(recipe.kind, "")
        found["model_id"] = found["verify_id"] = None
        if isinstance(recipe, Attack):
            found["op"] = recorded_op(self.raw["recipes"][self.shard.recipe], recipe)
        if is_attack(recipe):
            found["model_id"] = model_id(self.raw["model"], self.models[VICTIM])
        elif isinstance(recipe, Sample):
            found["model_id"] = generator_id(self.models[f"generator:{self.shard.recipe}"])
        if self.job.model is not None:
            found["verify_id"] = verify_id(self.job.run.batch, stochastic=self.job.stochastic)
        if isinstance(recipe, Sample):
            found["source_dataset"] = None
        elif not isinstance(self.job.source, UserSource):
            found["source_dataset"] = getattr(self.job.source, "path", self.job.source.format)
        return found

    def place_of(self, key: str | None) -> int | None:
        """Number of the row, or sample, with this key, as the shard counts; None where it holds no such row."""
        found = self._members.get(key or "")
        if found is None and not self._members and key is not None:
            name, _, number = key.rpartition("#")
            if name == (self.part.file if self.part else "sample") and number.isdecimal() and len(number) < 19:
                found = int(number) if str(int(number)) == number else None
        return found if found is not None and self.shard.start <= found < self.shard.stop else None

    def index_of(self, place: int) -> int:
        """Value of `source_index` for the row at a place."""
        return place if self.part is None else key_of(self.part, place)[1]

    @cached_property
    def left_out(self) -> frozenset[int]:
        """Places of the rows that `source.hold_out` gives to the other part; none for samples."""
        spec = self.job.source.hold_out
        if spec is None or self.part is None or self.part.unreadable:
            return frozenset()
        excluded = range(self.shard.start, self.shard.stop)
        wanted = spec.part == "held_out"
        return frozenset(at for at in excluded if held_out(key_of(self.part, at)[0], spec) != wanted)

    @cached_property
    def _members(self) -> dict[str, int]:
        if self.part is None:
            return {}
        if self.part.picked:
            return {key_of(self.part, at)[0]: at for at in range(self.part.start, self.part.stop)}
        return {f"{self.part.file}/{name}": self.part.start + at for at, name in enumerate(self.part.members)}


@dataclass(frozen=True)
class Expected:
    """Expectations of the rows of one shard, from the records of its run."""

    output: Output
    image: Image
    classes: int
    seed: int
    """Seed of the run."""
    recipes: Mapping[str, Mapping[str, Any]]
    """Resolved recipes by recipe_id."""
    contract: str = CONTRACT_VERSION
    """Version of the row contract."""
    claims: Claims | None = None
    """None where the records contradict each other, so that it is not known what they say."""


def claims_of(plan: Plan, manifest: Manifest) -> dict[str, Claims]:
    """Claims by shard key; without the shards whose recipe, range or job is none, which other checks name."""
    try:
        job = recorded_job(plan)
    except ValidationError:
        return {}
    texts = [text_of(plan, manifest, position) for position in range(len(job.recipes))]
    pools = {pool.split: pool.keys for pool in plan.partners}
    found = {}
    for shard in plan.shards:
        text = texts[shard.recipe] if shard.recipe < len(texts) else None
        is_sample = shard.recipe < len(texts) and isinstance(job.recipes[shard.recipe], Sample)
        if text is None or is_sample != (shard.range is None) or (shard.range or 0) >= max(1, len(plan.ranges)):
            continue
        part = None if shard.range is None else plan.ranges[shard.range]
        if part is not None and (part.start, part.stop, part.split) != (shard.start, shard.stop, shard.split):
            continue
        if part is not None and any(len(rows) not in (0, part.rows) for rows in (part.members, part.picked)):
            continue
        pool = pools.get(shard.split, ())
        found[shard.key] = Claims(
            job, plan.job, shard, part, recipe_id(text), text, plan.models, len(plan.classes), pool
        )
    return found
