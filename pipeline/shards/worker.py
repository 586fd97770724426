"""Worker: source, models, judges and recipes that make shards, each built once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import ParamSpec, TypeVar

import torch

from hardset.pipeline.batches import Partners, Recipe
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.models.loading import LoadedModel, generator_id, load_model, load_network
from hardset.pipeline.models.roles import VICTIM, transfer_role
from hardset.pipeline.recipes.table import RecipeContext, build_recipe, recipe_text, settled_job, variants
from hardset.pipeline.shards.device_stage import DeviceTools
from hardset.pipeline.shards.facts import ShardFacts
from hardset.pipeline.shards.last_range import LastRange
from hardset.pipeline.shards.overlap import Stages
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.partners import read_partners
from hardset.pipeline.sources.table import open_source, reading_id
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import recipe_id
from hardset.schemas.errors import RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.network import Network
from hardset.schemas.job.recipes import Recipe as DeclaredRecipe
from hardset.schemas.job.recipes import Sample
from hardset.schemas.records.run import Plan, Shard, SourceRange
from hardset.schemas.rows.contract import ADVERSARIAL, GENERATED
from hardset.schemas.rows.user_columns import recorded_columns

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """Tools of one worker. Each is built when it is first needed, and kept.

    Threads may share it if they walk through its stages: the source belongs to the stage `read`; models, judges and
    recipes to `device`, which every shard has gone through before a later stage looks at them.
    """

    job: Job
    plan: Plan
    """Plan of the run; its shards and ranges may be left out."""
    device: torch.device
    threads: int = field(default_factory=torch.get_num_threads)
    """Number of torch threads, which may affect rounding; by default that of the thread that makes the worker."""
    stages: Stages = field(default_factory=Stages)
    divider: Divider = field(default_factory=Divider)
    """Splits batches that the device's memory does not hold; belongs to the stage `device`."""
    _building: Lock = field(default_factory=Lock, repr=False)
    """Held by the thread that has tools built or opens the source, so that no two do the same."""

    def on_device(self, work: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
        """Result of `work`, which runs in the one thread that uses the device. For the stage `device`.

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
        """Reader of clean rows. Raises RunError where its code in this process is not that of the plan."""
        if self.plan.reading not in ("", reading_id(self.job.source)):
            raise RunError(
                "source: its code here is not that of the machine that planned the run; install the same on all, and "
                "start again"
            )
        return open_source(self.job.source, self.plan.classes, self.plan.commit)

    @cached_property
    def last_range(self) -> LastRange | None:
        """Memory of the stage `read`; None where no two recipes of the job read the source."""
        reading = sum(not isinstance(recipe, Sample) for recipe in self.job.recipes)
        return LastRange() if reading > 1 else None

    @cached_property
    def model(self) -> LoadedModel | None:
        """The classifier under attack. Raises RunError where its weights are not those of the plan."""
        if self.job.model is None:
            return None
        model = load_model(
            self.job.model,
            channels=self.plan.image.channels,
            device=self.device,
            class_names=self.plan.classes,
        )
        networks = tuple(self.job.model.networks().values())
        for position, member in enumerate(model.members):
            self._as_planned(member, networks[position], f"{VICTIM}:{position}")
        self._as_planned(model, networks[0], VICTIM)
        return model

    @cached_property
    def judge(self) -> Judge | None:
        """Judge of the model under attack; None where the job names no model."""
        return None if self.model is None else self._judge(self.model, "the judge")

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
                class_names=self.plan.classes,
            )
            self._as_planned(model, network, transfer_role(network.name))
            found[network.name] = model
        return found

    @cached_property
    def held_out(self) -> dict[str, Judge]:
        """Judges of the held-out models by name, in the mode of the judge's own."""
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
            name = public_name(network.weights or str(network.factory))
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
                partners=self.partners,
            )
            self._recipes[position] = build_recipe(self.recipes[position], setting)
        return self._recipes[position]

    def partners(self, split: str) -> Partners | None:
        """Pool of a split that mixing draws from; None where the plan has none. Raises RunError where it changed."""
        if split not in self._pools:
            pool = next((one for one in self.plan.partners if one.split == split), None)
            # A reader of its own: that of the stage `read` may be in use, and this is the device's thread.
            source, classes = open_source(self.job.source, self.plan.classes, self.plan.commit), len(self.plan.classes)
            self._pools[split] = None if pool is None else read_partners(source, pool, self.plan.image, classes)
        return self._pools[split]

    @cached_property
    def _pools(self) -> dict[str, Partners | None]:
        return {}

    def prepare(self) -> None:
        """Builds the tools of all recipes, so that what cannot work is told before any shard is made."""
        for position in range(len(self.job.recipes)):
            self.tools(position)

    def tools(self, position: int) -> DeviceTools:
        """Tools of the recipe at a position of the job: built by the device's thread when first asked for, and kept."""
        with self._building:
            if position not in self._tools:
                self._tools[position] = self.on_device(self._build, position)
            return self._tools[position]

    @cached_property
    def _tools(self) -> dict[int, DeviceTools]:
        return {}

    def _build(self, position: int) -> DeviceTools:
        recipe = self.recipe(position)
        return DeviceTools(
            recipe=recipe,
            judge=self.judge,
            held_out=self.held_out if recipe.kind == ADVERSARIAL else {},
            device=self.device,
            stochastic=self.job.stochastic,
            divider=self.divider,
        )

    def recipe_id(self, position: int) -> str:
        """The recipe's id. Raises RunError where the code of this process is not that of the plan."""
        found = recipe_id(recipe_text(self.recipes[position], position, self.plan.models))
        if self.plan.recipes and found != self.plan.recipes[position]:
            raise RunError(
                f"recipes.{position}: its code here is not that of the machine that planned the run; install the same "
                "on all, and start again"
            )
        return found

    def facts(self, shard: Shard, source_range: SourceRange | None) -> ShardFacts:
        """Facts of a shard of the run. Loads what they name: source, models and recipe."""
        tools, position = self.tools(shard.recipe), shard.recipe
        with self._building:
            source_name = self.source.name
        model_id, model_sha256 = self._model_of(position, tools.recipe.kind)
        return ShardFacts(
            shard=shard,
            source_range=source_range,
            source_name=source_name,
            user=recorded_columns(self.plan.user_columns),
            image=self.plan.image,
            classes=self.plan.classes,
            run_id=self.plan.run_id,
            seed=self.job.seed,
            kind=tools.recipe.kind,
            op=tools.recipe.op,
            variants=variants(self.recipes[position]),
            recipe_id=self.recipe_id(position),
            recipe_text=recipe_text(self.recipes[position], position, self.plan.models),
            model_id=model_id,
            model_sha256=model_sha256,
            models=self.plan.models,
            verify_id=tools.judge.verify_id if tools.judge else None,
            keep=self.job.output.keep,
            png_level=self.job.output.png_level,
            device=str(self.device),
        )

    def _model_of(self, position: int, kind: str) -> tuple[str | None, str | None]:
        """Name and SHA-256 of the model that a recipe's rows are made with; None for augmentations."""
        if kind == ADVERSARIAL and self.model is not None:
            return self.model.model_id, self.model.sha256
        if kind == GENERATED:
            sha256 = self.plan.models[f"generator:{position}"]
            return generator_id(sha256), sha256
        return None, None
