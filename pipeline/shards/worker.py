"""What a worker needs to make shards, built once: the source, the model, the judge and the recipes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from hardset.pipeline.batches import CleanRows, Recipe, Reject
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.models.loading import VICTIM, LoadedModel, load_model, load_network, transfer_role
from hardset.pipeline.recipes.table import RecipeContext, build_recipe, recipe_text, settled_job, variants
from hardset.pipeline.shards.overlap import Stages
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import recipe_id
from hardset.schemas.errors import RunError
from hardset.schemas.job.job import Job, Network
from hardset.schemas.job.recipes import Recipe as DeclaredRecipe
from hardset.schemas.records.run import Plan, Shard, SourceRange

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """The tools of one worker. Each is made when it is first needed, and kept.

    Threads may share it if they walk through its stages: the source belongs to the stage `read`; models, judges and
    recipes to `device`, which every shard has gone through before a later stage looks at them.
    """

    job: Job
    plan: Plan
    """Shards and ranges may be left out: only what holds for the whole run is used."""
    device: torch.device
    threads: int = field(default_factory=torch.get_num_threads)
    """Of torch's kernels, whose number may have a say in the bits: those of the thread that makes the worker."""
    stages: Stages = field(default_factory=Stages)
    divider: Divider = field(default_factory=Divider)
    """Runs batches that the device's memory does not hold; belongs to the stage `device`."""

    def on_device(self, work: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        """What `work` gives, done in the one thread that uses the device. For the stage `device`.

        CUDA graphs of torch.compile belong to the thread that captured them and fail, or answer wrongly, in another
        (https://github.com/pytorch/pytorch/issues/123177), and cuBLAS and cuDNN keep a workspace for each thread.
        """
        return self._device_thread.submit(work, *arguments, **settings).result()

    @cached_property
    def _device_thread(self) -> ThreadPoolExecutor:
        # OpenMP and MKL keep the number per thread and start a thread with one for each core: with torch 2.13 the
        # first product of matrices in a thread used them all, although torch.get_num_threads() said 1.
        return ThreadPoolExecutor(1, "device", initializer=torch.set_num_threads, initargs=(self.threads,))

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
        networks = tuple(self.job.model.networks().values())
        for position, member in enumerate(model.members):
            self._as_planned(member, networks[position], f"{VICTIM}:{position}")
        self._as_planned(model, networks[0], VICTIM)
        return model

    @cached_property
    def judge(self) -> Judge | None:
        """Gives verdicts; none where the job names no model."""
        return None if self.model is None else self._judge(self.model, "the judge")

    @property
    def verify_id(self) -> str | None:
        """How verdicts are computed; none where the job names no model."""
        return None if self.judge is None else self.judge.verify_id

    @cached_property
    def held_out_models(self) -> dict[str, LoadedModel]:
        """Models that no attack sees, by name. Raises RunError where their weights are not those of the plan."""
        if self.job.model is None:
            return {}
        found = {}
        for position, network in enumerate(self.job.transfer_to):
            model = load_network(
                network,
                at=f"transfer_to.{position}",
                classes=self.job.model.classes,
                channels=self.plan.image.channels,
                device=self.device,
            )
            self._as_planned(model, network, transfer_role(network.name))
            found[network.name] = model
        return found

    @cached_property
    def held_out(self) -> dict[str, Judge]:
        """Verdicts of the held-out models, in the mode of the judge's own."""
        return {name: self._judge(model, f"held-out model {name}") for name, model in self.held_out_models.items()}

    def _judge(self, model: LoadedModel, name: str) -> Judge:
        return Judge(
            module=model.module,
            batch=self.job.run.batch,
            device=self.device,
            stochastic=self.job.stochastic,
            name=name,
            divider=self.divider,
        )

    def _as_planned(self, model: LoadedModel, network: Network, role: str) -> None:
        if model.sha256 != self.plan.models[role]:
            name = public_name(network.weights or network.factory)
            raise RunError(f"{name}: changed since the run was planned; start it again")

    @cached_property
    def recipes(self) -> tuple[DeclaredRecipe, ...]:
        """The job's recipes with all settings written out."""
        return settled_job(self.job).recipes

    @cached_property
    def _recipes(self) -> dict[int, Recipe]:
        return {}

    def recipe(self, position: int) -> Recipe:
        """The recipe at a position of the job."""
        if position not in self._recipes:
            setting = RecipeContext(
                run=self.job.run,
                image=self.plan.image,
                classes=len(self.plan.classes),
                device=self.device,
                victim=self.model,
                generator_sha256=self.plan.models.get(f"generator:{position}", ""),
                divider=self.divider,
            )
            self._recipes[position] = build_recipe(self.recipes[position], setting)
        return self._recipes[position]

    def recipe_id(self, position: int) -> str:
        """The recipe's id. Raises RunError where the code of this process is not that of the plan."""
        found = recipe_id(recipe_text(self.recipes[position], position, self.plan.models))
        if self.plan.recipes and found != self.plan.recipes[position]:
            raise RunError(
                f"recipes.{position}: its code here is not that of the machine that planned the run; install the same "
                "on all, and start again"
            )
        return found

    def variants(self, position: int) -> int:
        """Rows the recipe makes from each row that goes in."""
        return variants(self.recipes[position])

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
