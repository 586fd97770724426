"""Several budgets of one row: each search goes on from the next smaller one, and a fall is taken over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardset.schemas.job.attack_declaration import Part
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS
from tests.attacks.nets import conv_net, images, linear_case, predictions, recipe, rows, seeds

EPS = ["2/255", "3/255", "5/255", "9/255"]
PGD = {"name": "pgd", "steps": 8, "step_size": "1/255", "eps": EPS, "chain": True}


def by_budget(values: np.ndarray) -> np.ndarray:
    """(rows, budgets, ...) of values in the order (parent, variant)."""
    return np.asarray(values).reshape(-1, len(EPS), *np.shape(values)[1:])


def many_seeds(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 2**63, (count, len(EPS)), dtype=np.int64)


def test_rows_come_by_parent_and_budget():
    net, pixels = conv_net(), images(7)
    made = recipe(net, **PGD).make(rows(pixels, predictions(net, pixels)), many_seeds(7))
    assert made.parents.tolist() == [parent for parent in range(7) for _ in EPS]
    assert made.variants.tolist() == list(range(4)) * 7
    np.testing.assert_allclose(by_budget(made.columns["eps"]) * 255, [[2, 3, 5, 9]] * 7)


@pytest.mark.parametrize("name", ["pgd", "apgd_dlr", "fast"])
def test_a_fall_is_taken_over_by_every_larger_budget(name, monkeypatch):
    short = (Part("pma", 3), Part("square", 20), Part("pma", 3, on=True), Part("apgd_t", 2, targets=2))
    monkeypatch.setattr(
        "hardset.pipeline.attacks.declared.ATTACKS", ATTACKS | {"fast": replace(ATTACKS["fast"], parts=short)}
    )
    net, pixels = conv_net(), images(60, seed=3)
    labels = predictions(net, pixels)
    attack = {"name": name, "eps": EPS} if name == "fast" else PGD | {"name": name}
    made = recipe(net, batch=16, **attack, stop="success").make(rows(pixels, labels), many_seeds(60))
    fell = by_budget(predictions(net, made.pixels) != np.repeat(labels, 4))
    stored, steps = by_budget(made.pixels), by_budget(made.columns["steps"])
    queries, found_by = by_budget(made.columns["queries"]), by_budget(made.columns["found_by"])
    assert 0 < fell[:, 0].sum() < fell[:, 1:].any(axis=1).sum()
    for small in range(3):
        taken_over = fell[:, small]
        assert fell[taken_over, small + 1].all()
        np.testing.assert_array_equal(stored[taken_over, small + 1], stored[taken_over, small])
        np.testing.assert_array_equal(found_by[taken_over, small + 1], found_by[taken_over, small])
        assert (steps[taken_over, small + 1] == 0).all()
        assert (queries[taken_over, small + 1] == 0).all()
        assert (steps[~taken_over, small + 1] > 0).all()
        assert (stored[~taken_over, small + 1] != stored[~taken_over, small]).any(axis=(1, 2, 3)).all()


def test_each_budget_falls_exactly_where_a_linear_model_can_fall():
    net, pixels, labels, distance = linear_case(np.random.default_rng(0))
    for stop in ("success", "never", {"after_success": 3}):
        made = recipe(net, classes=2, **PGD, stop=stop).make(rows(pixels, labels), many_seeds(60))
        fell = by_budget(predictions(net, made.pixels) != np.repeat(labels, 4))
        expected = np.array([2, 3, 5, 9])[None, :] > distance[:, None]
        np.testing.assert_array_equal(fell, expected)
    assert 5 < expected[:, 0].sum() < expected[:, 3].sum() < 60


def test_going_on_costs_less_than_starting_anew_and_finds_as_much():
    net, pixels = conv_net(), images(80, seed=7)
    labels = predictions(net, pixels)
    chained = recipe(net, **PGD, stop="success").make(rows(pixels, labels), many_seeds(80))
    fell = by_budget(predictions(net, chained.pixels) != np.repeat(labels, 4)).sum(axis=0)
    alone, spent = [], 0
    for number, eps in enumerate(EPS):
        one = recipe(net, **(PGD | {"eps": eps, "chain": None}), stop="success")
        made = one.make(rows(pixels, labels), many_seeds(80)[:, number : number + 1])
        alone.append(int((predictions(net, made.pixels) != labels).sum()))
        spent += int(made.columns["steps"].sum())
    assert (fell >= np.array(alone)).all()
    assert chained.columns["steps"].sum() < spent


@pytest.mark.parametrize("stop", ["success", "never"])
def test_neighbours_change_no_byte(stop):
    net, pixels = conv_net(), images(24, seed=9)
    labels, keys = predictions(net, pixels), many_seeds(24)
    attack = recipe(net, **PGD, restarts=2, stop=stop)
    whole = attack.make(rows(pixels, labels), keys)
    index = np.random.default_rng(1).permutation(24)[:11]
    clean = rows(pixels, labels)
    part = attack.make(
        type(clean)(pixels[index], clean.labels[index], tuple(clean.keys[i] for i in index), clean.indices[index]),
        keys[index],
    )
    np.testing.assert_array_equal(by_budget(part.pixels), by_budget(whole.pixels)[index])
    for name, values in part.columns.items():
        np.testing.assert_array_equal(by_budget(values), by_budget(whole.columns[name])[index], err_msg=name)


def test_a_budget_without_a_level_leaves_the_row_and_starts_the_next_afresh():
    net, pixels = conv_net(), images(6)
    labels = predictions(net, pixels)
    made = recipe(net, **(PGD | {"eps": ["0.5/255", "4/255"]})).make(rows(pixels, labels), many_seeds(6)[:, :2])
    stored = made.pixels.reshape(6, 2, *pixels.shape[1:])
    np.testing.assert_array_equal(stored[:, 0], pixels)
    assert [flags == "no_budget" for flags in made.columns["flags"]] == [True, False] * 6
    assert (stored[:, 1] != pixels).any(axis=(1, 2, 3)).all()


def test_all_budgets_of_a_row_share_target_and_region():
    net, pixels = conv_net(), images(20, seed=2)
    labels = predictions(net, pixels)
    region = {"height": 3, "width": 4, "place": "random"}
    attack = recipe(net, **PGD, target="random", region=region, stop="success")
    made = attack.make(rows(pixels, labels), many_seeds(20))
    targets = by_budget(made.columns["target_label"])
    assert (targets == targets[:, :1]).all()
    changed = (by_budget(made.pixels) != pixels[:, None]).any(axis=(1, 4))
    assert (changed.any(axis=2).sum(axis=1) <= 3).all()
    assert (changed.any(axis=1).sum(axis=1) <= 4).all()
    assert changed.any(axis=(1, 2)).all()


def test_one_budget_is_the_plain_attack():
    net, pixels = conv_net(), images(9)
    labels = predictions(net, pixels)
    plain = recipe(net, **(PGD | {"eps": "3/255", "chain": None})).make(rows(pixels, labels), seeds(9)[:, None])
    listed = recipe(net, **(PGD | {"eps": ["3/255"], "chain": None})).make(rows(pixels, labels), seeds(9)[:, None])
    np.testing.assert_array_equal(plain.pixels, listed.pixels)


PROMISED = ("fgsm", "bim", "pgd", "mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm")
"""Attacks whose names stand for a search that starts anew at every budget."""


@pytest.mark.parametrize("name", PROMISED)
def test_a_published_name_makes_the_rows_of_the_published_method_at_every_budget(name):
    net, pixels = conv_net(), images(30, seed=4)
    labels, keys = predictions(net, pixels), many_seeds(30)
    listed = recipe(net, name=name, eps=EPS).make(rows(pixels, labels), keys)
    for number, eps in enumerate(EPS):
        alone = recipe(net, name=name, eps=eps).make(rows(pixels, labels), keys[:, number : number + 1])
        np.testing.assert_array_equal(by_budget(listed.pixels)[:, number], alone.pixels)
    chained = recipe(net, name=name, eps=EPS, chain=True).make(rows(pixels, labels), keys)
    np.testing.assert_array_equal(by_budget(chained.pixels)[:, 0], by_budget(listed.pixels)[:, 0])
    assert (by_budget(chained.pixels)[:, 1:] != by_budget(listed.pixels)[:, 1:]).any()


def test_an_ensemble_that_is_not_chained_runs_every_budget_by_itself(monkeypatch):
    short = (Part("pma", 3), Part("pma", 3, on=True))
    monkeypatch.setattr(
        "hardset.pipeline.attacks.declared.ATTACKS", ATTACKS | {"fast": replace(ATTACKS["fast"], parts=short)}
    )
    net, pixels = conv_net(), images(30, seed=4)
    labels, keys = predictions(net, pixels), many_seeds(30)
    listed = recipe(net, name="fast", eps=EPS, chain=False).make(rows(pixels, labels), keys)
    for number, eps in enumerate(EPS):
        alone = recipe(net, name="fast", eps=eps).make(rows(pixels, labels), keys[:, number : number + 1])
        np.testing.assert_array_equal(by_budget(listed.pixels)[:, number], alone.pixels)


@pytest.mark.parametrize(
    ("settings", "op"),
    [
        ({"name": "pgd", "eps": "8/255"}, "pgd_linf"),
        ({"name": "pgd", "eps": EPS}, "pgd_linf"),
        ({"name": "pgd", "eps": EPS, "chain": True}, "pgd_chain_linf"),
        ({"name": "fast", "eps": EPS}, "fast_linf"),
        ({"name": "fast", "eps": EPS, "chain": False}, "fast_linf"),
    ],
)
def test_the_op_tells_of_a_chain_that_the_name_does_not_promise(settings, op):
    assert Attack.model_validate(settings).resolved(10).op == op
    assert recipe(conv_net(), **settings).op == op


def test_a_chain_of_one_budget_is_refused():
    with pytest.raises(ValueError, match="chain: links several budgets, and eps is one; wants a list of budgets"):
        Attack.model_validate({"name": "pgd", "eps": "8/255", "chain": True})
