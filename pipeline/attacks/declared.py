"""Attacks and objectives from elsewhere: imported, checked against what they declare, and given a code version.

Whoever calls these functions runs the user's code. Reading and checking a job file does not.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from hardset.pipeline.attacks.libraries import check_settings, check_target, function_at, library_of, own_arguments
from hardset.pipeline.attacks.objectives import Goal, Objective
from hardset.pipeline.attacks.schedules import Schedule
from hardset.pipeline.extensions.declarations import code_of, find, settled
from hardset.pipeline.extensions.imports import by_path
from hardset.schemas.base import Spec
from hardset.schemas.digests import canonical_json
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.extensions import is_import_path
from hardset.schemas.job.attack_declaration import AttackDeclaration
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS, FIRST_CODE
from hardset.schemas.job.quantities import Range
from hardset.schemas.norms import Norm

FOREIGN_CODE = 1
"""Version of the way in which images of other libraries become rows, raised when it makes other bytes."""


def declaration_of(name: str, *, at: str = "name") -> AttackDeclaration:
    """The declaration of an attack of the table, or at an import path.

    Raises JobError, which begins with the key `at`, where the path leads to no declaration.
    """
    if name in ATTACKS:
        return ATTACKS[name]
    found = _found(name, at=at)
    return found if isinstance(found, AttackDeclaration) else _foreign(name, found)


def foreign_attack(name: str, *, at: str = "name") -> Any:
    """The class or function behind an attack of another library, or a user's function. Raises as `declaration_of`."""
    return _found(name, at=at)


def _found(name: str, *, at: str) -> Any:
    library = library_of(name)
    if library is not None:
        return library.find(name.partition(":")[2], at=at)
    found = find(name, object, at=at)
    if callable(found) and not isinstance(found, type | Schedule):
        return function_at(name, found, at=at)
    return found if isinstance(found, AttackDeclaration) else find(name, AttackDeclaration, at=at)


def _foreign(name: str, attack: Any) -> AttackDeclaration:
    library = library_of(name)
    whose = "a function of images, labels, eps and seed" if library is None else f"an attack of {library.told}"
    takes = ", ".join(own_arguments(name, attack)) or "none"
    return AttackDeclaration(
        summary=f"{whose}, whose rows depend on their shard; arguments under settings: {takes}", foreign=True
    )


def resolved(spec: Attack, classes: int | None = None, *, at: str = "attack") -> Attack:
    """The attack with every unset setting that it takes written out, as `Attack.resolved`, and those of its own.

    What is resolved stays as it is. Raises JobError, one line per fault, each beginning with the key `at`.
    """
    if spec.name in ATTACKS:
        return spec.resolved(classes)
    declared = declaration_of(spec.name, at=f"{at}.name")
    try:
        spec.check(declared)
    except ValueError as error:
        raise JobError(f"{at}.{error}") from None
    if declared.foreign:
        return _resolved_foreign(spec, at)
    own = own_settings(declared, spec.settings, at=at)
    settings = None if own is None else own.model_dump(mode="json")
    return spec.model_copy(update={"settings": settings}).resolved(classes, declared)


def _resolved_foreign(spec: Attack, at: str) -> Attack:
    if isinstance(spec.eps, Range):
        raise JobError(f"{at}.eps: {spec.name} is given one budget for all rows; wants one number, or a list of them")
    if spec.chain:
        raise JobError(f"{at}.chain: {spec.name} starts anew at every budget; leave chain out")
    try:
        settings = json.loads(canonical_json(spec.settings or {}))
    except (TypeError, ValueError):
        raise JobError(f"{at}.settings: wants text, finite numbers, booleans, lists and mappings only") from None
    attack = foreign_attack(spec.name, at=f"{at}.name")
    check_settings(spec.name, attack, settings, at=f"{at}.settings")
    if spec.target is not None:
        check_target(spec.name, attack, at=at)
    chain = False if isinstance(spec.eps, tuple) else None
    return spec.model_copy(update={"settings": settings or None, "chain": chain})


def own_settings(declared: AttackDeclaration, given: dict[str, Any] | None, *, at: str = "attack") -> Spec | None:
    """The settings that the attack declares as its own, checked; None where it has none. Raises JobError."""
    if declared.settings is None:
        return None
    return settled(declared.settings, given or {}, at=f"{at}.settings")


def attack_code(name: str, norm: Norm) -> int | dict[str, Any]:
    """The version of an attack's code in a norm, with that of all it is made of; other numbers, other images.

    A number for the table's attacks: raising that of a part raises that of its ensemble. An attack from elsewhere has
    its declared number or the digest of its code, beside how often the table's attacks were raised, since it may be
    made of their pieces.
    """
    if name in ATTACKS:
        declared = ATTACKS[name]
        stages = dict.fromkeys(part.name for part in declared.parts_in(norm))
        return _number(declared, norm) + sum(_number(ATTACKS[part], norm) - FIRST_CODE for part in stages)
    declared = declaration_of(name)
    if declared.foreign:
        library = library_of(name)
        return {**code_of(name if library is None else library.module), "foreign_code": FOREIGN_CODE}
    own = code_of(name) if declared.code is None else {"version": declared.code}
    return {**own, "hardset_code": sum(_number(attack, norm) - FIRST_CODE for attack in ATTACKS.values())}


def _number(declared: AttackDeclaration, norm: Norm) -> int:
    code = declared.code_under(norm)
    assert code is not None  # of every row of the table, which a test holds
    return code


def attack_text(spec: Attack) -> dict[str, Any]:
    """A resolved attack as records tell it: all its settings, and the versions of its code.

    That budgets are chained is left unsaid, so that texts of versions before 0.2.0 stay what they were.
    """
    settings = spec.model_dump(mode="json", exclude={"chain"} if spec.chain else None)
    return {**settings, "code": attack_code(spec.name, spec.norm), **objective_code(spec.objective)}


def objective_code(objective: str | None) -> dict[str, Any]:
    """The code version of an objective as a recipe text holds it; empty for those of hardset."""
    if objective is None or not is_import_path(objective):
        return {}
    return {"objective_code": code_of(objective)}


def imported_objective(path: str, classes: int) -> Objective:
    """The objective at `package.module:function`, which takes (logits (N, K), labels (N,), targets (N,)).

    Raises JobError where it cannot be imported, fails, or does not give one differentiable loss per row.
    """
    try:
        function = by_path(path)
    except (ImportError, AttributeError) as error:
        raise JobError(f"objective: {path} cannot be imported: {error}") from error
    if not callable(function):
        raise JobError(f"objective: {path} is a {type(function).__name__}; wants a function of logits, labels, targets")

    def objective(logits: Tensor, goal: Goal) -> Tensor:
        loss: Tensor = function(logits.float(), goal.labels, goal.targets)
        return loss.float()

    _try(objective, path, classes)
    return objective


def _try(objective: Objective, path: str, classes: int) -> None:
    rows = 3
    logits = torch.linspace(-1, 1, rows * classes).view(rows, classes).requires_grad_(True)
    labels = torch.arange(rows) % classes
    goal = Goal(labels, (labels + 1) % classes, torch.zeros(rows, dtype=torch.int64), torch.zeros(rows))
    try:
        with torch.enable_grad():
            loss = objective(logits, goal)
    except Exception as error:  # it is the user's code
        raise JobError(
            f"objective: {path} fails on logits of shape ({rows}, {classes}): {type(error).__name__}: {one_line(error)}"
        ) from None
    if loss.shape != (rows,):
        raise JobError(f"objective: {path} gives a loss of shape {tuple(loss.shape)}; wants one per row, ({rows},)")
    if not loss.requires_grad:
        raise JobError(f"objective: {path} gives a loss without gradient; compute it from the logits with torch")
