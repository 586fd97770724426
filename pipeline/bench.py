"""What a worker needs to make shards, built once: the source, the model, the judge and the recipes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pipeline.judge import Judge
from pipeline.models.loading import LoadedModel, load_model
from pipeline.recipes import Setting, build_recipe, recipe_text, variants
from pipeline.rows import CleanRows, Recipe, Reject
from pipeline.sources import SourceReader, open_source
from pipeline.storage import public_name
from schemas.digests import recipe_id
from schemas.errors import RunError
from schemas.job import Job
from schemas.records import Plan, Shard, SourceRange


@dataclass(frozen=True)
class Bench:
    """The tools of one worker. Each is made when it is first needed, and kept."""

    job: Job
    plan: Plan
    """Shards and ranges may be left out: only what holds for the whole run is used."""
    device: torch.device

    @cached_property
    def source(self) -> SourceReader:
        """Reads clean rows."""
        return open_source(self.job.source)

    @cached_property
    def model(self) -> LoadedModel | None:
        """The classifier under attack. Raises RunError where its weights are not those of the plan."""
        if self.job.model is None:
            return None
        model = load_model(self.job.model, channels=self.plan.image.channels, device=self.device)
        if model.sha256 != self.plan.models["victim"]:
            name = public_name(self.job.model.weights or self.job.model.factory)
            raise RunError(f"{name}: changed since the run was planned; start it again")
        return model

    @cached_property
    def judge(self) -> Judge | None:
        """Gives verdicts; none where the job names no model."""
        if self.model is None:
            return None
        return Judge(module=self.model.module, batch=self.job.run.batch, device=self.device)

    @cached_property
    def _recipes(self) -> dict[int, Recipe]:
        return {}

    def recipe(self, position: int) -> Recipe:
        """The recipe at a position of the job."""
        if position not in self._recipes:
            setting = Setting(
                run=self.job.run,
                image=self.plan.image,
                classes=len(self.plan.classes),
                device=self.device,
                victim=self.model,
                generator_sha256=self.plan.models.get(f"generator:{position}", ""),
            )
            self._recipes[position] = build_recipe(self.job.recipes[position], setting)
        return self._recipes[position]

    def recipe_id(self, position: int) -> str:
        """The recipe's id."""
        return recipe_id(recipe_text(self.job.recipes[position], position, self.plan.models))

    def variants(self, position: int) -> int:
        """Rows the recipe makes from each row that goes in."""
        return variants(self.job.recipes[position])

    def read(self, shard: Shard, rows: SourceRange | None) -> tuple[CleanRows, list[Reject]]:
        """The rows that go into a shard; for samples, the classes to draw."""
        if rows is None:
            return sample_rows(shard.start, shard.stop, len(self.plan.classes)), []
        return self.source.read(rows, self.plan.image, len(self.plan.classes))


def sample_rows(start: int, stop: int, classes: int) -> CleanRows:
    """Samples `start` to `stop`: classes take turns, so that more rows per class only add samples at the end."""
    numbers = np.arange(start, stop, dtype=np.int64)
    return CleanRows(
        pixels=np.zeros((0, 0, 0, 1), np.uint8),
        labels=numbers % classes,
        keys=tuple(f"sample#{number}" for number in numbers),
        indices=numbers,
    )
