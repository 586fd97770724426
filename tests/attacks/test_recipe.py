"""The attack recipe: rows in, rows and columns out, the same bytes whoever the neighbours are."""

from __future__ import annotations

import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

from hardset.pipeline.attacks import drawing
from hardset.pipeline.attacks.pieces import GEOMETRIES
from hardset.pipeline.batches import CleanRows
from hardset.schemas.job.recipes import Attack
from hardset.schemas.rows.contract import COLUMNS
from tests.attacks.nets import conv_net, images, linear_net, predictions, recipe, rows, seeds

PGD = {"name": "pgd", "eps": "6/255", "steps": 6}
CASES = (
    {"name": "fgsm", "eps": "6/255"},
    {"name": "fgsm", "eps": "1.5", "norm": "l2"},
    PGD,
    PGD | {"stop": "success", "restarts": 3},
    {"name": "apgd_dlr", "eps": "6/255", "steps": 6, "stop": "success", "restarts": 2},
    PGD | {"norm": "l2", "eps": {"min": 0.2, "max": 1.5}},
    PGD | {"eps": {"min": 0, "max": "9/255"}, "step_size": {"min": "1/255", "max": "2/255"}, "stop": "success"},
    PGD | {"target": "random"},
    PGD | {"target": "least_likely", "stop": "success"},
)


def _name(case: dict) -> str:
    return "-".join(f"{value}" if isinstance(value, str) else key for key, value in case.items())


@pytest.fixture(scope="module")
def clean() -> CleanRows:
    pixels = images(24)
    labels = predictions(conv_net(), pixels)
    labels[::6] = (labels[::6] + 1) % 10
    return rows(pixels, labels)


def _part(whole: CleanRows, index: list[int]) -> CleanRows:
    keys = tuple(whole.keys[i] for i in index)
    return CleanRows(whole.pixels[index], whole.labels[index], keys, whole.indices[index])


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_columns_budgets_and_verdicts_hold(case, clean):
    net = conv_net()
    made = recipe(net, **case).make(clean, seeds(24)[:, None])
    assert made.pixels.dtype == np.uint8
    assert made.pixels.shape == clean.pixels.shape
    assert made.parents.tolist() == list(range(24))
    assert made.variants.tolist() == [0] * 24
    assert not made.rejects
    types = {column.name: column.type.to_pandas_dtype() for column in COLUMNS if column.name in made.columns}
    for name, values in made.columns.items():
        assert len(values) == 24
        assert name == "norm" or values.dtype == types[name], name
    change = made.pixels.astype(np.int64).reshape(24, -1) - clean.pixels.astype(np.int64).reshape(24, -1)
    eps = made.columns["eps"]
    if case.get("norm") == "l2":
        assert set(made.columns["norm"]) == {"L2"}
        assert (np.square(change).sum(1) <= (eps * 255) ** 2 + 1e-6).all()
    else:
        assert set(made.columns["norm"]) == {"Linf"}
        assert (np.abs(change).max(1) <= eps * 255 + 1e-6).all()
    levels = eps * 255 + 1e-6 >= 1
    assert (change[levels] != 0).any(1).all()
    assert (change[~levels] == 0).all()
    assert (made.columns["float_pred"] == clean.labels)[made.columns["float_margin"] > 0].all()
    assert (made.columns["float_pred"] != clean.labels)[made.columns["float_margin"] < 0].all()
    spent = made.columns["steps"][levels]
    if case.get("stop") == "success":
        assert (spent >= 1).all()
        assert (spent <= made.columns["steps"].max()).all()
    else:
        assert (spent == (1 if case["name"] == "fgsm" else 6)).all()
    assert (predictions(net, made.pixels) != clean.labels).sum() > (
        predictions(net, clean.pixels) != clean.labels
    ).sum()


@pytest.mark.parametrize("net", [conv_net(), linear_net()], ids=["conv", "linear"])
@pytest.mark.parametrize("case", CASES[2:7], ids=_name)
def test_neighbours_and_order_change_no_byte(net, case, clean):
    attack, whole_seeds = recipe(net, **case), seeds(24)
    whole = attack.make(clean, whole_seeds[:, None])

    @settings(max_examples=5, deadline=None)
    @given(st.permutations(range(24)), st.integers(1, 24))
    def check(order: list[int], count: int) -> None:
        index = list(order[:count])
        part = attack.make(_part(clean, index), whole_seeds[index, None])
        np.testing.assert_array_equal(part.pixels, whole.pixels[index])
        for name, values in part.columns.items():
            np.testing.assert_array_equal(values, whole.columns[name][index], err_msg=name)

    check()


def test_targets_are_what_the_job_asks_for(clean):
    net = conv_net()
    whole_seeds = seeds(24)[:, None]
    targets = {
        kind: recipe(net, **PGD, target=kind).make(clean, whole_seeds).columns["target_label"]
        for kind in ("random", "next", "least_likely", 3)
    }
    assert (targets["random"] != clean.labels).all()
    assert len(set(targets["random"])) > 4
    assert ((targets["random"] >= 0) & (targets["random"] < 10)).all()
    np.testing.assert_array_equal(targets["next"], (clean.labels + 1) % 10)
    assert (targets["least_likely"] != clean.labels).all()
    assert (targets[3] == 3).all()
    with torch.no_grad():
        logits = net(torch.from_numpy(clean.pixels).permute(0, 3, 1, 2).float() / 255).numpy()
    logits[np.arange(24), clean.labels] = np.inf
    np.testing.assert_array_equal(targets["least_likely"], logits.argmin(1))
    assert "target_label" not in recipe(net, **PGD).make(clean, whole_seeds).columns


def test_random_targets_are_all_classes_but_the_label():
    labels = torch.arange(5).repeat(200)
    found = drawing.targets("random", labels, torch.arange(1000), torch.zeros(1000, 5))
    assert {tuple(pair) for pair in torch.stack((labels, found), dim=1).tolist()} == {
        (label, target) for label in range(5) for target in range(5) if label != target
    }


def test_a_targeted_attack_reaches_its_class_where_a_linear_program_can():
    net, eps = linear_net(classes=5), 30 / 255
    pixels = images(40, seed=3)
    labels = predictions(net, pixels)
    weight, bias = net[1].weight.numpy().astype(float), net[1].bias.numpy().astype(float)
    slack = []
    for image, target in zip(pixels.reshape(40, -1) / 255, (labels + 1) % 5, strict=True):
        others = [k for k in range(5) if k != target]
        # Largest t with (w_target - w_k) x + (b_target - b_k) >= t for every other k, over ball and box.
        rows_ = np.hstack([weight[others] - weight[target], np.ones((4, 1))])
        box = list(zip(np.maximum(image - eps, 0), np.minimum(image + eps, 1), strict=True))
        found = linprog([0] * 64 + [-1], rows_, bias[target] - bias[others], bounds=[*box, (None, None)])
        slack.append(-found.fun)
    attack = recipe(net, classes=5, name="pgd", eps="30/255", steps=60, target="next", stop="success")
    made = attack.make(rows(pixels, labels), seeds(40)[:, None])
    reached = predictions(net, made.pixels) == (labels + 1) % 5
    assert not reached[np.array(slack) <= 0].any()
    assert reached[np.array(slack) > 0.02].all()
    assert 5 < reached.sum() < 40


def test_eps_is_drawn_per_row_from_its_range_by_the_rows_own_key(clean):
    case = PGD | {"eps": {"min": "2/255", "max": "8/255"}}
    attack = recipe(conv_net(), **case)
    eps, turned = (attack.make(clean, keys[:, None]).columns["eps"] for keys in (seeds(24), seeds(24)[::-1].copy()))
    assert ((eps >= 2 / 255) & (eps <= 8 / 255)).all()
    assert len(set(eps)) == 24
    np.testing.assert_array_equal(turned, eps[::-1])


class _BreaksOnBrightCorner(nn.Module):
    """NaN logits for rows whose first value is high, as a division by zero would give."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        corner = batch[:, 0, 0, 0]
        return self.net(batch) * torch.where(corner > 0.9, torch.nan, 1.0)[:, None]


@pytest.mark.parametrize("stop", ["success", "never"])
def test_rows_the_model_breaks_on_are_rejected_and_harm_no_neighbour(stop, clean):
    pixels, labels = clean.pixels.copy(), clean.labels.copy()
    pixels[:, 0, 0, 0] = 100
    pixels[[3, 17], 0, 0, 0] = 255
    labels[[5, 9]] = [-1, 10]
    case = PGD | {"stop": stop, "restarts": 2}
    broken = recipe(_BreaksOnBrightCorner(conv_net()), **case).make(rows(pixels, labels), seeds(24)[:, None])
    lost = {reject.index: reject for reject in broken.rejects}
    assert sorted(lost) == [3, 5, 9, 17]
    assert lost[3].error_class == "NonFiniteError"
    assert lost[5].error_class == lost[9].error_class == "LabelError"
    assert all(reject.stage == "make" and reject.key == f"row#{index}" for index, reject in lost.items())
    good = [i for i in range(24) if i not in lost]
    assert broken.parents.tolist() == good
    alone = recipe(conv_net(), **case).make(_part(rows(pixels, labels), good), seeds(24)[good, None])
    np.testing.assert_array_equal(broken.pixels, alone.pixels)


@pytest.mark.parametrize("case", [PGD | {"stop": "success", "restarts": 2}, PGD | {"eps": ["2/255", "6/255"]}])
def test_rows_are_attacked_in_parts_that_fit_memory_and_no_byte_changes(case, clean, monkeypatch):
    attack, keys = recipe(conv_net(), **case), np.random.default_rng(5).integers(0, 2**63, (24, 2), dtype=np.int64)
    keys = keys[:, : attack.variants]
    whole = attack.make(clean, keys)
    sizes = []
    monkeypatch.setattr("hardset.pipeline.attacks.recipe._MOST_VALUES", 9 * 64 * attack.variants)
    chunk = attack._chunk
    monkeypatch.setattr(attack, "_chunk", lambda rows, kept, part: sizes.append(len(kept)) or chunk(rows, kept, part))
    parts = attack.make(clean, keys)
    assert sizes == [9, 9, 6]
    np.testing.assert_array_equal(parts.pixels, whole.pixels)
    assert parts.parents.tolist() == whole.parents.tolist()
    for name, values in parts.columns.items():
        np.testing.assert_array_equal(values, whole.columns[name], err_msg=name)


def test_no_rows_give_no_rows(clean):
    made = recipe(conv_net(), **PGD).make(_part(clean, []), seeds(0)[:, None])
    assert len(made) == 0
    assert made.pixels.shape == (0, 8, 8, 1)


def test_every_norm_a_job_can_name_has_a_geometry():
    assert set(typing.get_args(Attack.model_fields["norm"].annotation)) == set(GEOMETRIES)
