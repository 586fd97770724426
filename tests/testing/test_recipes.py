"""The conformance kit of recipes: every built-in recipe passes it, and every planted fault is named."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from pydantic import AfterValidator

from hardset.extending import AttackDeclaration, Loss, Operation, OperationSettings, Schedule, Spec, nothing, stepped
from hardset.pipeline.attacks import objectives
from hardset.pipeline.augment.table import OPERATIONS
from hardset.pipeline.testing import recipes
from hardset.pipeline.testing.recipe_example import RecipeExample
from hardset.schemas.job.attacks import ATTACKS
from hardset.testing import NonconformityError, check_recipe, recipe_checks
from tests.augment.images import document
from tests.augment.test_recipe import ALL

EPS = {"linf": "24/255", "l2": "1", "l1": "6", "l0": "9"}
STEPS = 4


def attack(name: str, **settings: Any) -> RecipeExample:
    declared = ATTACKS.get(name)
    steps = {"steps": STEPS} if declared and declared.takes("steps") and name != "fgsm" else {}
    return RecipeExample({"kind": "attack", "name": name, "eps": EPS["linf"], **steps, **settings}, rows=6)


BUILT_IN = [
    *(attack(name, norm=norm, eps=EPS[norm]) for name, one in ATTACKS.items() for norm in one.norms),
    attack("pgd", eps=["4/255", "9/255"], restarts=2, stop="success"),
    attack("pgd", eps={"min": "2/255", "max": "9/255"}, target="random", region={"height": 3, "width": 4}),
    attack("di_fgsm", scales=2, translation=3, eot=2, misclassified="skip"),
    RecipeExample({"kind": "augment", "ops": [{"name": "erase", "fill": "partner", "p": 0.7}], "variants": 2}, rows=6),
    RecipeExample({"kind": "attack", "name": "worst_of", "ops": ALL, "tries": 3}, rows=6),
    *(RecipeExample({"kind": "augment", "ops": [document(name)], "variants": 2}, rows=6) for name in OPERATIONS),
    RecipeExample({"kind": "augment", "ops": ALL, "variants": 3}, shape=(9, 7, 1)),
]


@pytest.mark.parametrize("example", BUILT_IN, ids=lambda example: str(example.recipe))
def test_every_built_in_recipe_keeps_the_laws(example: RecipeExample) -> None:
    check_recipe(example)


def test_the_list_above_holds_all_there_are() -> None:
    tried = [example.declared for example in BUILT_IN]
    assert {(one.name, getattr(one, "norm", None)) for one in tried if one.kind == "attack"} == {
        *((name, norm) for name, one in ATTACKS.items() for norm in one.norms),
        ("worst_of", None),
    }
    assert {operation.name for one in tried if one.kind == "augment" for operation in one.ops} == set(OPERATIONS)


@pytest.fixture
def _examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "extending"))
    yield
    for name in ("attack", "augmentation"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("_examples")
@pytest.mark.parametrize(
    "recipe",
    [
        {"kind": "attack", "name": "attack:WOBBLE", "eps": "8/255", "steps": STEPS, "settings": {"period": 3}},
        {"kind": "augment", "ops": [{"name": "augmentation:VIGNETTE"}], "variants": 2},
    ],
    ids=["attack", "augmentation"],
)
def test_the_examples_of_the_docs_keep_the_laws(recipe: dict[str, Any]) -> None:
    check_recipe(RecipeExample(recipe))


@pytest.mark.usefixtures("_examples")
def test_the_test_in_the_docs_passes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "check_recipe" in b)
    space: dict[str, Any] = {}
    exec(block, space)
    space["test_it_keeps_the_laws"]()


# Faults, each of which a user could write; the law it breaks; and what the kit says.


class Random(Schedule):
    def advance(self, seen, memory, geometry, steps):
        return geometry.project(seen.images + 0.1 * torch.randn_like(seen.images), seen.clean, seen.radius), memory


class Reseeding(Schedule):
    def advance(self, seen, memory, geometry, steps):
        torch.manual_seed(0)
        return stepped(seen, seen.step_size, geometry), memory


class Mixing(Schedule):
    def advance(self, seen, memory, geometry, steps):
        gradient = seen.gradient.mean(dim=0, keepdim=True).expand_as(seen.gradient)
        return stepped(replace(seen, gradient=gradient.clone()), seen.step_size, geometry), memory


@dataclass(frozen=True)
class Counting(Schedule):
    calls = itertools.count()

    def advance(self, seen, memory, geometry, steps):
        return stepped(seen, seen.step_size / (1 + next(self.calls) % 7), geometry), memory


class Placed(Schedule):
    def advance(self, seen, memory, geometry, steps):
        place = torch.arange(len(seen.images)) / 7
        return stepped(seen, seen.step_size * place, geometry), memory


def declared(schedule: Any, **more: Any) -> AttackDeclaration:
    given = {"summary": "faulty", "code": 1, "schedule": schedule, "loss": "margin", "steps": 3}
    return AttackDeclaration(**given | more)


def mean_margin(logits, goal):
    return objectives.margin(logits, goal) + logits.std()


RANDOM, RESEEDING, MIXING = declared(Random()), declared(Reseeding()), declared(Mixing())
COUNTING, PLACED = declared(Counting()), declared(Placed())
MEAN_LOSS = declared("fixed", loss=Loss(mean_margin, mean_margin))


class Halved(Spec):
    """Settings that do not read what they write."""

    share: Annotated[float, AfterValidator(lambda share: share / 2)] = 0.5
    """Halved whenever it is read."""


DRIFTING = declared("fixed", settings=Halved)

FAULTY_ATTACKS = [
    ("RANDOM", "made a second time, a row has another image; random numbers come from a row's seed"),
    ("RESEEDING", "making rows draws from, or seeds, the global generator of torch, numpy or random"),
    ("MIXING", "made as 6 of 6 rows, a row has another .*; no value of a row may be worked out of other rows"),
    ("COUNTING", "made a second time, a row has another"),
    ("PLACED", "made as 6 of 6 rows, a row has another"),
    ("DRIFTING", "read from the record of a plan the recipe has another text; its settings must read what they write"),
    ("MEAN_LOSS", "made as 6 of 6 rows, a row has another"),
]


@pytest.mark.parametrize(("name", "sentence"), FAULTY_ATTACKS, ids=[n for n, _ in FAULTY_ATTACKS])
def test_a_fault_of_an_attack_is_named(name: str, sentence: str) -> None:
    with pytest.raises(NonconformityError, match=sentence):
        check_recipe(attack(f"{__name__}:{name}"))


class Plain(OperationSettings):
    """Faulty."""


def _rand(images, parameters, stream):
    return images + 0.1 * torch.rand_like(images)


def _against_the_mean(images, parameters, stream):
    return images - images.mean()


def _in_place(images, parameters, stream):
    return images.mul_(0.5)


def _drawn_globally(settings, stream):
    return {"x": torch.rand(stream.seeds.shape, dtype=torch.float64)}


def _shifted(images, parameters, stream):
    return images + parameters["x"].float()[:, None, None, None]


OPS = {
    "NOISY": (Operation(Plain, nothing, _rand), "made a second time, a row has another image"),
    "CENTRED": (Operation(Plain, nothing, _against_the_mean), "made as 10 of 10 rows, a row has another image"),
    "DRAWN": (Operation(Plain, _drawn_globally, _shifted), "made a second time, a row has another image"),
}
NOISY, CENTRED, DRAWN = (operation for operation, _ in OPS.values())


@pytest.mark.parametrize("name", OPS)
def test_a_fault_of_an_operation_is_named(name: str) -> None:
    with pytest.raises(NonconformityError, match=OPS[name][1]):
        check_recipe(RecipeExample({"kind": "augment", "ops": [{"name": f"{__name__}:{name}"}]}))


def test_an_image_over_budget_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an attack of another library could store it; the engine itself refuses."""
    example = attack("pgd", norm="l2", eps="0.5")
    made = example.made
    pixels = made.pixels.copy()
    pixels[3] ^= 255
    object.__setattr__(example, "made", replace(made, pixels=pixels))
    with pytest.raises(NonconformityError, match=r"row 3 is \d+ squared levels from its clean image in L2; eps 0.5"):
        recipes.budgets_hold_on_the_grid(example)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parents": np.arange(6)[::-1]}, "rows are missing, twice there, or not in the order"),
        ({"pixels": np.zeros((6, 8, 8, 3), np.float32)}, "images come out as float32"),
        ({"columns": {"epsilon": np.zeros(6)}}, "column epsilon is not one of the row contract"),
        ({"columns": {"eps": np.zeros(5)}}, "column eps holds 5 values for 6 rows"),
        ({"columns": {"steps": np.array(["a"] * 6, object)}}, "column steps does not fit int32"),
        ({"columns": {}}, "an attack fills the column eps, and this one does not"),
    ],
    ids=str,
)
def test_what_comes_out_wrong_is_named(change: dict[str, Any], sentence: str) -> None:
    example = attack("fgsm")
    object.__setattr__(example, "made", replace(example.made, **change))
    with pytest.raises(NonconformityError, match=sentence):
        recipes.every_row_is_told(example)
        recipes.columns_are_those_of_the_contract(example)


def test_rows_alike_that_come_out_unlike_are_named() -> None:
    with pytest.raises(NonconformityError, match="at place 1, a row has another image; a row depends on image, label"):
        recipes.rows_with_the_same_seed_are_the_same(attack(f"{__name__}:PLACED"))


def test_the_kit_runs_every_check_it_has() -> None:
    checks = {name for name, one in vars(recipes).items() if getattr(one, "__module__", "") == recipes.__name__}
    public = {name for name in checks if not name.startswith("_")} - {"check_recipe", "recipe_checks"}
    assert {check.__name__ for example in (attack("pgd"), BUILT_IN[-1]) for check in recipe_checks(example)} == public


def test_checks_can_be_parametrized() -> None:
    assert {check.__name__ for check in recipe_checks(attack("fgsm"))} >= {"budgets_hold_on_the_grid"}
    assert all(check.__doc__ for check in recipe_checks(BUILT_IN[-1]))
