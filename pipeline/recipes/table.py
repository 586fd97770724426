"""The recipes of a job: the object that makes a recipe's rows, and the text that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hardset.pipeline.attacks.declared import attack_code, attack_text, declaration_of, objective_code, resolved
from hardset.pipeline.attacks.foreign import ForeignRecipe
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.pipeline.augment.table import code_versions as operation_versions
from hardset.pipeline.augment.table import operation_text, written_out
from hardset.pipeline.batches import Partners, Recipe
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.models.loading import LoadedModel
from hardset.pipeline.recipes.generator_files import declared_generator
from hardset.pipeline.recipes.worst_of import WorstOfRecipe
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import RunError
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.job import Job, Run
from hardset.schemas.job.recipes import UNMEASURED, Admit, Attack, Augment, Sample, WorstOf
from hardset.schemas.job.recipes import Recipe as DeclaredRecipe
from hardset.schemas.job.worst_of import DECLARATION
from hardset.schemas.records.run import Image

CODE_VERSIONS = {"augment": 1, "sample": 1}
"""Code versions by kind, raised when the code makes other bytes from the same settings; part of every shard key.
Attacks have a version each."""


@dataclass(frozen=True)
class RecipeContext:
    """Settings that a recipe may need besides its own declaration."""

    run: Run
    image: Image
    classes: int
    device: torch.device
    victim: LoadedModel | None
    """The classifier under attack."""
    generator_sha256: str
    """Digest that the plan holds for the recipe's generator; empty where it has none."""
    divider: Divider
    """Runs batches that the device's memory does not hold."""
    partners: Callable[[str], Partners | None] = lambda split: None
    """Pool of a split that mixing draws from; None where the plan has none."""


def _attack(spec: Attack | WorstOf, at: RecipeContext) -> Recipe:
    if at.victim is None:
        raise RunError("an attack recipe needs the model under attack")
    if isinstance(spec, WorstOf):
        judge = Judge(module=at.victim.module, batch=at.run.batch, device=at.device, divider=at.divider)
        return WorstOfRecipe(spec, judge=judge, classes=at.classes, device=at.device)
    if declaration_of(spec.name).foreign:
        return ForeignRecipe(
            spec,
            module=at.victim.module,
            classes=at.classes,
            batch=at.run.batch,
            shape=(at.image.channels, at.image.height, at.image.width),
            device=at.device,
        )
    return AttackRecipe(
        spec,
        module=at.victim.module,
        classes=at.classes,
        batch=at.run.batch,
        precision=at.run.precision,
        compile=at.run.compile,
        parts=at.victim.parts,
        device=at.device,
        divider=at.divider,
    )


def _augment(spec: Augment, at: RecipeContext) -> Recipe:
    return AugmentRecipe(spec, batch=at.run.batch, device=at.device, partners=at.partners)


def _sample(spec: Sample, at: RecipeContext) -> Recipe:
    generator = declared_generator(spec.generator, device=at.device)
    if generator.sha256 != at.generator_sha256:
        raise RunError(f"{public_name(spec.generator.weights)}: changed since the run was planned; start it again")
    return SampleRecipe(
        generator,
        classes=at.classes,
        batch=at.run.batch,
        device=at.device,
        flag=UNMEASURED if spec.admit == UNMEASURED else None,
        divider=at.divider,
    )


_BUILDERS: dict[str, Callable[[Any, RecipeContext], Recipe]] = {
    "attack": _attack,
    "augment": _augment,
    "sample": _sample,
}


def build_recipe(spec: DeclaredRecipe, at: RecipeContext) -> Recipe:
    """The recipe that `spec` declares."""
    return _BUILDERS[spec.kind](spec, at)


def recipe_text(spec: DeclaredRecipe, position: int, models: Mapping[str, str]) -> dict[str, Any]:
    """The fully resolved recipe: its settings, and the digests of the weights it uses instead of their paths."""
    if isinstance(spec, Attack):
        return {**attack_text(spec), "model": models["victim"]}
    if isinstance(spec, WorstOf):
        ops = [operation_text(one) for one in spec.ops]
        return {**spec.model_dump(mode="json"), "ops": ops, "code": DECLARATION.code, "model": models["victim"]}
    text = {**spec.model_dump(mode="json"), "code": CODE_VERSIONS[spec.kind]}
    if isinstance(spec, Augment):
        return {**text, "ops": [operation_text(one) for one in spec.ops]}
    if isinstance(spec.admit, Admit):
        del text["admit"]  # gates decide whether rows are made, not what they are
    return {**text, "generator": models[f"generator:{position}"]}


def code_versions(text: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """The code behind a recorded recipe: its name, its version as recorded, and its version now.

    Raises JobError where code of the user's is missing.
    """
    kind, code = text.get("kind"), text.get("code")
    if kind in CODE_VERSIONS:
        yield str(kind), code, CODE_VERSIONS[kind]
    if text.get("name") == WORST_OF:
        yield WORST_OF, code, DECLARATION.code
    elif kind == "attack":
        yield text["name"], code, attack_code(text["name"], text.get("norm", "linf"))
        for key, now in objective_code(text.get("objective")).items():
            yield text["objective"], text.get(key), now
    for operation in text.get("ops", ()):
        yield from operation_versions(operation)


def settled_job(job: Job) -> Job:
    """The job with the settings of attacks and operations from elsewhere written out, as those of hardset's own are.

    Imports their code. What is settled stays as it is. Raises JobError, one line per fault, each with its key.
    """
    classes = job.model.classes if job.model else None
    recipes = tuple(_settled(recipe, classes, f"recipes.{position}") for position, recipe in enumerate(job.recipes))
    return job if recipes == job.recipes else job.model_copy(update={"recipes": recipes})


def _settled(recipe: DeclaredRecipe, classes: int | None, at: str) -> DeclaredRecipe:
    if isinstance(recipe, Attack):
        return resolved(recipe, classes, at=at)
    if isinstance(recipe, Augment | WorstOf):
        ops = tuple(written_out(one, at=f"{at}.ops.{number}") for number, one in enumerate(recipe.ops))
        return recipe.model_copy(update={"ops": ops})
    return recipe


def stands_alone(text: Mapping[str, Any]) -> bool:
    """Whether the rows of a recorded recipe can be made without the others of their shard.

    Imports the code that an attack from elsewhere names; raises JobError where that is missing.
    """
    return text.get("kind") != "attack" or text["name"] == WORST_OF or not declaration_of(text["name"]).foreign


def variants(spec: DeclaredRecipe) -> int:
    """Number of rows that the recipe makes from each row that goes in."""
    return 1 if isinstance(spec, Sample) else spec.variants
