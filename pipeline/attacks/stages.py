"""From an attack's settings to the searches that make it: one for a named attack, several in turn for an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hardset.pipeline.attacks.custom import imported_objective
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.objectives import Objective
from hardset.pipeline.attacks.schedules import Cosine, Fixed, Schedule
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.table import ATTACKS, ENSEMBLES, GEOMETRIES, LOSSES, Composition, Part
from hardset.pipeline.attacks.transforms import Diversity, InputTransform, Scales
from hardset.schemas.job.attack_recipe import AfterSuccess, Attack
from hardset.schemas.job.attacks import ATTACK_FACTS

_STEP_SHARE_GOING_ON = 0.5  # of eps: twice eps, the length at a random start, would leave the place at once


@dataclass(frozen=True)
class Stage:
    """One search over the rows that still resist."""

    name: str
    """Value of the `found_by` column."""
    search: Search
    step_share: float
    """Step size as a share of eps, where the job gives none."""
    targets: int = 0
    """Most likely wrong classes that each restart goes towards; 0: the job's target, or none."""
    goes_on: bool = False
    """Whether its first try starts from where the stages before it ended."""
    few_classes: bool = False
    """Whether the model has too few classes for the objective, which is then the margin."""


def stages_of(spec: Attack, classes: int) -> tuple[Stage, ...]:
    """The searches behind a resolved attack on a model of `classes` classes.

    Raises JobError where the job's own objective cannot be imported or used.
    """
    parts = ENSEMBLES.get(spec.name) or (Part(spec.name, spec.steps or 1, spec.targets or 0),)
    return tuple(_stage(spec, part, classes) for part in parts)


def _stage(spec: Attack, part: Part, classes: int) -> Stage:
    composition, facts = ATTACKS[part.name], ATTACK_FACTS[part.name]
    if part.on:
        composition = composition.going_on()
    targeted = spec.target is not None
    search = Search(
        objective=_objective(spec, composition, classes, targeted=targeted or composition.towards),
        geometry=GEOMETRIES[spec.norm],
        schedule=_schedule(spec, composition),
        steps=part.steps,
        restarts=spec.restarts * (1 if targeted else composition.turns),
        random_start=bool(facts.random_start if spec.random_start is None else spec.random_start),
        targeted=targeted,
        after_success=_after_success(spec),
        transforms=_transforms(spec),
        smoothing=spec.translation if spec.translation and spec.translation > 1 else None,
        repeats=spec.eot,
    )
    loss = LOSSES.get(_loss_name(spec, composition))
    share = float(facts.step_size(part.steps, spec.norm)) if facts.step_size else 1.0
    return Stage(
        name=part.name,
        search=search,
        step_share=_STEP_SHARE_GOING_ON if part.on else share,
        targets=min(spec.targets or part.targets, classes - 1) if composition.towards else 0,
        goes_on=part.on,
        few_classes=loss is not None and classes < loss.fewest[targeted or composition.towards],
    )


def _objective(spec: Attack, composition: Composition, classes: int, *, targeted: bool) -> Objective:
    name = _loss_name(spec, composition)
    if ":" in name:
        return imported_objective(name, classes)
    loss = LOSSES[name]
    return loss.targeted if targeted else loss.free


def _loss_name(spec: Attack, composition: Composition) -> str:
    return spec.objective or composition.loss


def _schedule(spec: Attack, composition: Composition) -> Schedule:
    if spec.momentum:
        return Momentum(decay=spec.momentum, nesterov=bool(spec.nesterov))
    if isinstance(composition.schedule, Fixed) and spec.step_rule == "cosine":
        return Cosine()
    if isinstance(composition.schedule, Momentum) and spec.momentum == 0:
        return Fixed()
    return composition.schedule


def _transforms(spec: Attack) -> tuple[InputTransform, ...]:
    found: list[InputTransform] = []
    if spec.diversity:
        found.append(Diversity(probability=spec.diversity))
    if spec.scales and spec.scales > 1:
        found.append(Scales(copies=spec.scales))
    return tuple(found)


def _after_success(spec: Attack) -> int | None:
    if isinstance(spec.stop, AfterSuccess):
        return spec.stop.after_success
    return 0 if spec.stop == "success" else None


def in_floats(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The same searches off the 8-bit grid, as libraries run them: for comparison, as their falls may not be stored."""
    return tuple(replace(stage, search=replace(stage.search, on_grid=False)) for stage in stages)
