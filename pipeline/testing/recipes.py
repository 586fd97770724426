"""The conformance kit of recipes, in the manner of scikit-learn's `check_estimator`.

    from hardset.testing import RecipeExample, check_recipe

    def test_it_keeps_the_laws():
        check_recipe(RecipeExample({"kind": "attack", "name": "attack:WOBBLE", "eps": "8/255"}))

Every check makes rows of a few small images with the recipe, as a run makes them, and says in one sentence what is
wrong: attacks and augmentations, built in or a user's own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from hardset.pipeline.attacks.declared import declaration_of, resolved
from hardset.pipeline.augment.recipe import replay_params
from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.pipeline.recipes.table import recipe_text, variants
from hardset.pipeline.recipes.worst_of import replay_worst
from hardset.pipeline.testing.faults import NonconformityError
from hardset.pipeline.testing.recipe_example import DECLARED, RecipeExample
from hardset.schemas.digests import canonical_json
from hardset.schemas.job.quantities import whole_levels, whole_pixels, whole_squares
from hardset.schemas.job.recipes import Attack, WorstOf, is_attack
from hardset.schemas.rows.contract import arrow_schema

_ATTACKED = ("eps", "norm", "steps", "queries", "found_by", "flags")
"""Columns that every attack fills."""
_MODELS = {"victim": "0" * 64}

Check = Callable[[RecipeExample], None]


def check_recipe(example: RecipeExample) -> None:
    """Runs all checks. Raises NonconformityError at the first fault; JobError where the recipe cannot be used."""
    for check in recipe_checks(example):
        check(example)


def recipe_checks(example: RecipeExample) -> tuple[Check, ...]:
    """The checks that apply to a recipe, each a function of the example; for `pytest.mark.parametrize`."""
    if not isinstance(example.declared, Attack):
        return (*_ALL, params_make_the_row_again)
    alone = not declaration_of(example.declared.name).foreign
    return (*(check for check in _ALL if alone or check not in _ALONE), budgets_hold_on_the_grid)


def every_row_is_told(example: RecipeExample) -> None:
    """Every clean row gives all its variants in order, or a reject; images keep shape and type."""
    made, wanted = example.made, variants(example.declared)
    lost = {reject.index for reject in made.rejects}
    kept = [number for number in range(example.rows) if number not in lost]
    _demand(
        made.parents.tolist() == [number for number in kept for _ in range(wanted)]
        and made.variants.tolist() == list(range(wanted)) * len(kept),
        "rows are missing, twice there, or not in the order (parent, variant)",
    )
    _demand(
        made.pixels.dtype == np.uint8 and made.pixels.shape[1:] == example.shape,
        f"images come out as {made.pixels.dtype} {made.pixels.shape[1:]}, and went in as uint8 {example.shape}",
    )
    _demand(not lost, f"rows {sorted(lost)} that nothing is wrong with are rejected")


def clean_rows_are_left_alone(example: RecipeExample) -> None:
    """A recipe does not write into the rows that it is given, which others read."""
    clean, seeds = example.clean, example.seeds
    before = clean.pixels.tobytes(), clean.labels.tobytes(), seeds.tobytes()
    example.built().make(clean, seeds)
    after = clean.pixels.tobytes(), clean.labels.tobytes(), seeds.tobytes()
    _demand(before == after, "making rows changes the clean images, labels or seeds in place")


def making_again_gives_the_same(example: RecipeExample) -> None:
    """A second worker makes the same rows, whatever random numbers its process has drawn before."""
    with _seeded_generators():
        again = example.make(np.arange(example.rows))
    law = "random numbers come from a row's seed, never from a global generator"
    _demand_same(again, example.made, "made a second time", law)


def global_generators_are_left_alone(example: RecipeExample) -> None:
    """Making rows draws nothing from the process's generators and does not seed them."""
    with _seeded_generators():
        before = _generators()
        example.make(np.arange(example.rows))
        after = _generators()
    _demand(before == after, "making rows draws from, or seeds, the global generator of torch, numpy or random")


def rows_do_not_depend_on_their_neighbours(example: RecipeExample) -> None:
    """A row comes out the same in any order and beside any other rows."""
    whole = example.made
    for places in (np.arange(example.rows)[::-1], np.arange(0, example.rows, 2), np.array([example.rows - 1])):
        some = example.make(places)
        wanted = np.concatenate([np.flatnonzero(whole.parents == place) for place in places])
        _demand_same(
            some,
            _taken(whole, wanted),
            f"made as {len(places)} of {example.rows} rows",
            "no value of a row may be worked out of other rows of its batch",
        )


def rows_with_the_same_seed_are_the_same(example: RecipeExample) -> None:
    """Image, label and seed fix a row; its place in the file does not."""
    one = np.zeros(3, np.int64)
    clean = example.clean
    twins = CleanRows(clean.pixels[one], clean.labels[one], ("a", "b", "c"), np.arange(3))
    made = example.built().make(twins, example.seeds[one])
    first = _taken(made, np.flatnonzero(made.parents == 0))
    law = "a row depends on image, label and seed, not on its place or key"
    for number in (1, 2):
        other = _taken(made, np.flatnonzero(made.parents == number))
        _demand_same(other, first, f"at place {number}", law)


def columns_are_those_of_the_contract(example: RecipeExample) -> None:
    """Columns have names and types of the row contract, one value per row; attacks fill theirs."""
    made, schema = example.made, arrow_schema([str(number) for number in range(example.classes)])
    for name, values in made.columns.items():
        _demand(name in schema.names, f"column {name} is not one of the row contract")
        _demand(len(values) == len(made), f"column {name} holds {len(values)} values for {len(made)} rows")
        try:
            pa.array(values, type=schema.field(name).type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise NonconformityError(f"column {name} does not fit {schema.field(name).type}: {error}") from None
    if is_attack(example.declared):
        missing = [name for name in _ATTACKED if name not in made.columns]
        _demand(not missing, f"an attack fills the column {missing and missing[0]}, and this one does not")


def its_text_names_it(example: RecipeExample) -> None:
    """The recipe's text is plain JSON, holds a code version, and does not change when it is resolved again."""
    text = recipe_text(example.declared, 0, _MODELS)
    try:
        again = json.loads(canonical_json(text))
    except (TypeError, ValueError) as error:
        raise NonconformityError(f"the recipe's text is no JSON, so that it can have no id: {error}") from None
    _demand(again == text, "the recipe's text is another one once it has been written and read")
    _demand(text.get("code") is not None, "the recipe's text holds no code version, so that edited code keeps its rows")
    declared = DECLARED.validate_python(example.declared.model_dump(mode="json"))
    read = resolved(declared, example.classes) if isinstance(declared, Attack) else declared
    _demand(
        recipe_text(read, 0, _MODELS) == text,
        "read from the record of a plan the recipe has another text; its settings must read what they write",
    )


def budgets_hold_on_the_grid(example: RecipeExample) -> None:
    """No stored image is further from its clean one than eps allows, counted in whole 8-bit levels."""
    made = example.made
    change = np.abs(made.pixels.astype(np.int64) - example.clean.pixels[made.parents]).reshape(len(made), -1)
    pixels = change.reshape(len(made), -1, made.pixels.shape[-1]).any(axis=2)
    spent = {
        "Linf": change.max(axis=1),
        "L2": (change**2).sum(axis=1),
        "L1": change.sum(axis=1),
        "L0": pixels.sum(axis=1),
    }
    for row, (norm, eps) in enumerate(zip(made.columns["norm"], made.columns["eps"], strict=True)):
        allowed = {"L2": whole_squares, "L0": whole_pixels}.get(str(norm), whole_levels)(float(eps))
        used = int(spent[str(norm)][row])
        unit = "squared levels" if norm == "L2" else "levels"
        _demand(
            used <= allowed, f"row {row} is {used} {unit} from its clean image in {norm}; eps {eps} allows {allowed}"
        )


def params_make_the_row_again(example: RecipeExample) -> None:
    """A row of drawn operations follows from its clean image, the column `params` and its seed."""
    made = example.made
    for row, (parent, variant) in enumerate(zip(made.parents, made.variants, strict=True)):
        params, clean, seed = made.columns["params"][row], example.clean.pixels[parent], example.seeds[parent, variant]
        if isinstance(example.declared, WorstOf):
            again = replay_worst(clean, params if params is None else str(params), int(seed))
        else:
            again = replay_params(clean, str(params), int(seed), example.partners)
        _demand(
            np.array_equal(again, made.pixels[row]), f"row {row} made again from its params {params} is another image"
        )


_ALL: tuple[Check, ...] = (
    every_row_is_told,
    clean_rows_are_left_alone,
    making_again_gives_the_same,
    global_generators_are_left_alone,
    rows_do_not_depend_on_their_neighbours,
    rows_with_the_same_seed_are_the_same,
    columns_are_those_of_the_contract,
    its_text_names_it,
)
_ALONE: tuple[Check, ...] = (rows_do_not_depend_on_their_neighbours, rows_with_the_same_seed_are_the_same)
"""Checks that rows of other libraries do not pass, since these see a batch whole."""


def _demand(held: bool, fault: str) -> None:
    if not held:
        raise NonconformityError(fault)


def _demand_same(found: MadeRows, wanted: MadeRows, when: str, law: str) -> None:
    """Raises NonconformityError where images or columns differ, naming the first."""
    if not np.array_equal(found.pixels, wanted.pixels):
        raise NonconformityError(f"{when}, a row has another image; {law}")
    for name, values in wanted.columns.items():
        if not _equal(values, found.columns[name]):
            raise NonconformityError(f"{when}, a row has another value in column {name}; {law}")


def _equal(one: Any, other: Any) -> bool:
    left, right = np.asarray(one), np.asarray(other)
    return np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


def _taken(made: MadeRows, places: np.ndarray[Any, Any]) -> MadeRows:
    columns = {name: np.asarray(values)[places] for name, values in made.columns.items()}
    return MadeRows(made.pixels[places], made.parents[places], made.variants[places], columns)


@contextmanager
def _seeded_generators() -> Iterator[None]:
    """Global generators in a state that nobody else leaves them in, and as they were afterwards."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(20_11)
            random.seed(20_11)
            np.random.seed(20_11)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _generators() -> tuple[Any, ...]:
    state = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), str(state), random.getstate()
