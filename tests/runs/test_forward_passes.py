"""Forward passes of whole shards, counted by the model itself: what was asked once is not asked again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.device_stage import DeviceTools, ask
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.reading import ReadRows
from hardset.pipeline.shards.worker import Worker
from tests.models.factories import Counted
from tests.support import RECIPES, digests, job_of, make_here

ROWS = 40


def attack(name: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "attack", "name": name, "eps": "40/255", **settings}


FGSM, PGD = attack("fgsm"), attack("pgd", steps=10)


@pytest.fixture(scope="module")
def counted_weights(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The victim's weights under the names that they have in a network that counts."""
    path = tmp_path_factory.mktemp("counted") / "counted.safetensors"
    state = safetensors.torch.load_file(weights["victim"])
    safetensors.torch.save_file({f"network.{name}": value for name, value in state.items()}, path)
    return {"victim": str(path)}


def made_second(weights: dict[str, str], out: Path, recipes: list[dict[str, Any]], **changes: Any) -> None:
    """Makes the shards of a second range, counted, once the first is made: the search tries its network at first."""
    model = {"factory": "tests.models.factories:counted", "weights": weights["victim"], "classes": 10}
    output = {"path": str(out), "shard_rows": ROWS}
    source = {"format": "digits", "limit": 2 * ROWS}
    job = job_of(weights, out, model=model, recipes=recipes, output=output, source=source, **changes)
    plan = make_plan(job)
    worker = Worker(job, plan, torch.device("cpu"))
    for number in (0, 1):
        Counted.climbed = Counted.asked = 0
        for shard in plan.shards:
            if shard.range == number:
                make_shard(shard, plan.ranges[number], worker)


@pytest.mark.parametrize(
    ("recipes", "gradients", "others"),
    [
        pytest.param([FGSM], 1, 4, id="fgsm"),  # last iterate, float result, stored image, clean image
        pytest.param([PGD], 10, 4, id="pgd-10"),
        pytest.param([FGSM, PGD], 11, 7, id="the clean image is asked about once"),
        pytest.param([FGSM | {"misclassified": "skip"}], 1, 4, id="also for those that the model errs on"),
        pytest.param([attack("pgd", steps=2, target="random")], 2, 4, id="also for targets"),
    ],
)
def test_a_row_costs_so_many_passes(
    counted_weights: dict[str, str], tmp_path: Path, recipes: list[dict[str, Any]], gradients: int, others: int
) -> None:
    made_second(counted_weights, tmp_path, recipes, run={"batch": ROWS})
    assert (Counted.climbed / ROWS, Counted.asked / ROWS) == (gradients, others)


def test_held_out_models_are_asked_about_clean_rows_once(counted_weights: dict[str, str], tmp_path: Path) -> None:
    other = {"name": "other", "factory": "tests.models.factories:counted", "weights": counted_weights["victim"]}
    made_second(counted_weights, tmp_path, [FGSM, PGD], transfer_to=[other], run={"batch": ROWS})
    assert Counted.asked / ROWS == 7 + 3


def test_budgets_that_leave_the_image_alone_cost_no_pass_of_their_own(
    counted_weights: dict[str, str], tmp_path: Path
) -> None:
    """The float result of one of them is asked about, and the clean image."""
    recipe = attack("pgd", steps=4, eps=["0.1/255", "0.2/255", "0.3/255", "0.4/255"])
    made_second(counted_weights, tmp_path, [recipe], run={"batch": ROWS})
    assert (Counted.climbed, Counted.asked) == (0, 2 * ROWS)


@given(shows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12))
def test_images_that_are_the_same_are_judged_once(shows: list[tuple[int, int]]) -> None:
    """Made rows by (parent, what they show); 0 shows the clean image. One of each run of equals is asked about."""
    shows = sorted(shows, key=lambda one: one[0])
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8, 1), dtype=np.uint8)  # parent, shown
    parents = np.array([parent for parent, _ in shows])
    pixels = np.stack([images[parent, shown] for parent, shown in shows])
    clean = CleanRows(images[:, 0], np.arange(3), ("a", "b", "c"), np.arange(3))
    rows = ReadRows(clean, (), np.zeros((3, 1), np.int64))
    made = MadeRows(pixels, parents, np.zeros(len(shows), np.int32))
    judge = Judge(Counted().eval(), 1, torch.device("cpu"))
    recipe: Any = SimpleNamespace(kind="adversarial")
    tools = DeviceTools(recipe, judge, {"other": judge}, torch.device("cpu"), False, Divider())
    Counted.asked = 0
    found = ask(tools, rows, made)
    moved = [one for one in shows if one[1]]
    assert Counted.asked == 2 * (
        3 + len([one for one, before in zip(moved, [None, *moved], strict=False) if one != before])
    )
    np.testing.assert_array_equal(found.made, judge.logits(pixels))
    np.testing.assert_array_equal(found.clean, judge.logits(clean.pixels))
    assert found.transfer is not None
    np.testing.assert_array_equal(found.transfer.seen["other"].after, judge.logits(pixels))
    np.testing.assert_array_equal(found.transfer.seen["other"].before, judge.logits(clean.pixels)[parents])


def test_rows_of_a_range_are_the_same_whoever_read_them(weights: dict[str, str], tmp_path: Path) -> None:
    """By a worker that keeps the range for its next recipe, and by one that reads and asks for every shard anew."""
    found = []
    for name in ("kept", "anew"):
        out = tmp_path / name
        job = job_of(weights, out, source={"format": "digits", "limit": 120}, run={"batch": 64})
        if name == "kept":
            make_here(job, order=lambda shards: sorted(shards, key=lambda shard: shard.range or 0))
        else:
            make_here(job)
        found.append(digests(out))
    assert len(found[0]) >= 6
    assert found[0] == found[1]


def test_a_recipe_that_writes_into_its_rows_harms_no_other(weights: dict[str, str], tmp_path: Path) -> None:
    source, recipes = {"format": "digits", "limit": ROWS}, [RECIPES[2], FGSM]
    job = job_of(weights, tmp_path, source=source, recipes=recipes, run={"batch": ROWS})
    plan = make_plan(job)
    spoilt, other = plan.shards
    good = make_shard(other, plan.ranges[0], Worker(job, plan, torch.device("cpu")))
    worker = Worker(job, plan, torch.device("cpu"))
    recipe = worker.recipe(0)

    class Spoiling:
        kind, op, variants = recipe.kind, recipe.op, recipe.variants

        def make(self, rows: Any, seeds: Any) -> MadeRows:
            made = recipe.make(rows, seeds)
            rows.pixels[:], rows.labels[:], rows.indices[:] = 0, 0, 0
            return made

    worker._recipes[0] = Spoiling()
    make_shard(spoilt, plan.ranges[0], worker)
    made = make_shard(other, plan.ranges[0], worker)
    for name in ("image_sha256", "source_index", "label", "clean_margin"):
        np.testing.assert_array_equal(made.columns[name], good.columns[name])
