"""Composition of an attack: the searches that settings and declaration ask for, one or those of an ensemble in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hardset.pipeline.attacks.declared import declaration_of, imported_objective, own_settings
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.objectives import Objective
from hardset.pipeline.attacks.pieces import GEOMETRIES, LOSSES, SCHEDULES, Loss
from hardset.pipeline.attacks.schedules import Cosine, Fixed, Schedule
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.transforms import Diversity, InputTransform, Scales
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.extensions import is_import_path
from hardset.schemas.job.attack_declaration import AttackDeclaration, Part
from hardset.schemas.job.attack_recipe import AfterSuccess, Attack
from hardset.schemas.reading.wording import one_of

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
    """Number of likely wrong classes that each restart goes towards; 0: the job's target, or none."""
    goes_on: bool = False
    """Whether its first try starts from where the stages before it ended."""
    few_classes: bool = False
    """Whether the model has too few classes for the objective, which is then the margin."""


Piece = TypeVar("Piece", Loss, Schedule)


def stages_of(spec: Attack, classes: int) -> tuple[Stage, ...]:
    """The searches behind a resolved attack on a model of `classes` classes.

    Raises JobError where code from elsewhere, an attack or an objective, cannot be imported or used.
    """
    declared = declaration_of(spec.name)
    parts = declared.parts_in(spec.norm) or (Part(spec.name, spec.steps or 1, spec.targets or 0),)
    return tuple(_stage(spec, part, declaration_of(part.name), classes) for part in parts)


def _stage(spec: Attack, part: Part, attack: AttackDeclaration, classes: int) -> Stage:
    if attack.foreign:
        raise JobError(
            f"{part.name}: makes its images by itself, so that it is a recipe of `generate` alone; evaluations, "
            "ensembles and training want an attack of hardset, or a declaration"
        )
    own = own_settings(attack, spec.settings if part.name == spec.name else None)
    loss = _loss(spec, part, attack, own)
    targeted = spec.target is not None
    towards = targeted or attack.towards
    search = Search(
        objective=_objective(spec, loss, classes, targeted=targeted, towards=attack.towards),
        geometry=GEOMETRIES[spec.norm],
        schedule=_schedule(spec, part, attack, own),
        steps=part.steps,
        restarts=spec.restarts * (1 if targeted or part.on else attack.turns),
        random_start=bool(attack.random_start if spec.random_start is None else spec.random_start),
        targeted=targeted,
        after_success=_after_success(spec),
        transforms=_transforms(spec),
        smoothing=spec.translation if spec.translation and spec.translation > 1 else None,
        repeats=spec.eot,
    )
    share = float(attack.step_size(part.steps, spec.norm)) if attack.step_size else 1.0
    return Stage(
        name=part.name,
        search=search,
        step_share=_STEP_SHARE_GOING_ON if part.on else share,
        targets=min(spec.targets or part.targets, classes - 1) if attack.towards else 0,
        goes_on=part.on,
        few_classes=loss is not None and classes < loss.fewest[towards],
    )


def _loss(spec: Attack, part: Part, attack: AttackDeclaration, own: Spec | None) -> Loss | None:
    """The loss that the search maximises; None where the job names a function of the user's."""
    if spec.objective is not None and is_import_path(spec.objective):
        return None
    going_on = attack.loss_going_on if part.on else None
    piece = spec.objective or going_on or attack.loss
    return _made(piece, LOSSES, Loss, own, f"{part.name}: loss")


def _objective(spec: Attack, loss: Loss | None, classes: int, *, targeted: bool, towards: bool) -> Objective:
    if loss is None:
        return imported_objective(str(spec.objective), classes)
    return loss.form(targeted=targeted, towards=towards)


def _schedule(spec: Attack, part: Part, attack: AttackDeclaration, own: Spec | None) -> Schedule:
    schedule = _made(attack.schedule, SCHEDULES, Schedule, own, f"{part.name}: schedule").under(spec.norm)
    if (schedule.needs_gradient, schedule.minimal) != (attack.gradient, attack.minimal):
        raise JobError(
            f"{part.name}: declares gradient {attack.gradient} and minimal {attack.minimal}, and its schedule says "
            f"{schedule.needs_gradient} and {schedule.minimal}; make them the same"
        )
    if spec.momentum:
        return Momentum(decay=spec.momentum, nesterov=bool(spec.nesterov))
    if isinstance(schedule, Fixed) and spec.step_rule == "cosine":
        return Cosine()
    if isinstance(schedule, Momentum) and spec.momentum == 0:
        return Fixed()
    return schedule


def _made(piece: Any, table: Mapping[str, Piece], kind: type[Piece], own: Spec | None, what: str) -> Piece:
    """A piece of an attack, which is named, given, or made from the attack's own settings."""
    if isinstance(piece, str):
        if piece not in table:
            raise JobError(f"{what}: got {piece}; wants {one_of(list(table))}, or a {kind.__name__}")
        return table[piece]
    if isinstance(piece, kind):
        return piece
    try:
        made = piece() if own is None else piece(own)
    except Exception as error:  # it is the user's code
        raise JobError(f"{what}: cannot be made: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(made, kind):
        raise JobError(f"{what}: is a {type(made).__name__}; wants a {kind.__name__}")
    return made


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
