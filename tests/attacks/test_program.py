"""Ensembles: attacks in turn over the rows that still resist, and what a row then says of how it was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardset.schemas.errors import JobError
from hardset.schemas.job.attack_declaration import Part
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.norms import Norm
from tests.attacks.nets import conv_net, frozen, images, predictions, recipe, rows, seeds

SHORT = (Part("apgd_ce", 5), Part("apgd_t", 4, targets=3), Part("square", 40), Part("pma", 6, on=True))


@pytest.fixture(autouse=True)
def short_ensembles(monkeypatch):
    short = replace(ATTACKS["standard"], parts=SHORT)
    monkeypatch.setattr("hardset.pipeline.attacks.declared.ATTACKS", ATTACKS | {"standard": short})


def attacked(net: nn.Module, pixels: np.ndarray, labels: np.ndarray, **settings):
    settings = {"name": "standard", "eps": "5/255"} | settings
    if settings["name"] == "standard":
        settings["targets"] = 3
    return recipe(net, batch=16, **settings).make(rows(pixels, labels), seeds(len(pixels))[:, None])


def test_a_row_pays_for_the_attacks_up_to_the_one_that_broke_it():
    net, pixels = conv_net(), images(120, seed=21)
    labels = predictions(net, pixels)
    made = attacked(net, pixels, labels)
    fell = predictions(net, made.pixels) != labels
    found_by, steps, queries = (np.asarray(made.columns[name]) for name in ("found_by", "steps", "queries"))
    first, later = fell & (found_by == "apgd_ce"), fell & (found_by == "apgd_t")
    assert first.sum() > 20
    assert later.sum() > 0
    assert (~fell).sum() > 5
    assert (steps[first] <= 5).all()
    assert (queries[first] == 0).all()
    assert ((steps[later] > 5) & (steps[later] <= 5 + 3 * 4)).all()
    assert (queries[later] == 0).all()
    assert (steps[~fell] == 5 + 3 * 4 + 6).all()
    assert (queries[~fell] == 40).all()


def test_an_ensemble_breaks_whatever_its_first_attack_breaks_alone():
    net, pixels = conv_net(), images(120, seed=22)
    labels = predictions(net, pixels)
    alone = attacked(net, pixels, labels, name="apgd_ce", steps=5, stop="success")
    whole = attacked(net, pixels, labels)
    fell = predictions(net, alone.pixels) != labels
    np.testing.assert_array_equal(whole.pixels[fell], alone.pixels[fell])
    assert (predictions(net, whole.pixels) != labels).sum() > fell.sum()


def test_training_runs_every_attack_on_every_row_and_keeps_the_nearest_to_error():
    net, pixels = conv_net(), images(30, seed=23)
    labels = predictions(net, pixels)
    made = attacked(net, pixels, labels, stop="never")
    assert (made.columns["steps"] == 5 + 3 * 4 + 6).all()
    early = attacked(net, pixels, labels, stop="success")
    with torch.no_grad():
        margins = [_margin(net(torch.from_numpy(one.pixels).permute(0, 3, 1, 2).float() / 255), labels) for one in
                   (made, early)]  # fmt: skip
    assert (margins[0] <= margins[1] + 1e-5).mean() > 0.9
    assert ((margins[0] < 0) >= (margins[1] < 0)).all()


def _margin(logits: Tensor, labels: np.ndarray) -> np.ndarray:
    own = logits[np.arange(len(labels)), labels]
    others = logits.scatter(1, torch.from_numpy(labels)[:, None], -torch.inf).amax(1)
    return (own - others).numpy()


class _Rounds(nn.Module):
    """A model behind a staircase: no gradient anywhere."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Tensor) -> Tensor:
        return self.net(torch.round(batch * 64) / 64)


def test_scores_break_a_model_without_gradients_and_the_row_says_who_did():
    net, pixels = frozen(_Rounds(conv_net())), images(60, seed=24)
    labels = predictions(net, pixels)
    made = attacked(net, pixels, labels, eps="8/255")
    fell = predictions(net, made.pixels) != labels
    by_square = fell & (np.asarray(made.columns["found_by"]) == "square")
    assert by_square.sum() > 5
    assert all("zero_gradient" in made.columns["flags"][at] for at in np.flatnonzero(by_square))


def test_rows_already_wrong_are_skipped_where_the_job_says_so():
    net, pixels = conv_net(), images(20, seed=25)
    labels = predictions(net, pixels)
    labels[::4] = (labels[::4] + 1) % 10
    made = attacked(net, pixels, labels, misclassified="skip")
    skipped = np.array(["misclassified" in flags for flags in made.columns["flags"]])
    assert np.flatnonzero(skipped).tolist() == [0, 4, 8, 12, 16]
    np.testing.assert_array_equal(made.pixels[skipped], pixels[skipped])
    assert (made.columns["steps"][skipped] == 0).all()
    everyone = attacked(net, pixels, (labels + 1) % 10, misclassified="skip", name="pgd", steps=2)
    assert (everyone.columns["steps"][labels + 1 != labels] >= 0).all()


def test_all_rows_wrong_from_the_start_cost_no_gradient_when_skipped():
    net, pixels = conv_net(), images(9, seed=26)
    wrong = (predictions(net, pixels) + 1) % 10
    made = attacked(net, pixels, wrong, misclassified="skip")
    np.testing.assert_array_equal(made.pixels, pixels)
    assert (made.columns["steps"] == 0).all()
    assert set(made.columns["flags"]) == {"misclassified"}


def test_the_published_ensembles_fit_their_budgets():
    """A fifth, and a twentieth, of what a row that survives AutoAttack costs: 101 + 9 * 101 + 9 * 100 gradients."""

    def spent(name: str, norm: Norm) -> int:
        parts = [part for part in ATTACKS[name].parts_in(norm) if ATTACKS[part.name].gradient]
        return sum(part.steps * max(part.targets, 1 if part.on else ATTACKS[part.name].turns) for part in parts)

    whole = 101 + 9 * 101 + 9 * 100
    assert spent("standard", "linf") <= whole / 5
    assert spent("standard", "l2") <= whole
    assert spent("standard", "l1") <= 5 * 101 + 5 * 101 + 5 * 100, "what AutoAttack takes in L1"
    assert spent("fast", "linf") <= whole / 20
    assert max(spent("fast", "l2"), spent("fast", "l1")) <= whole / 7


def third_class_gap(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """A user's objective."""
    return logits[:, 2] - logits.gather(1, labels[:, None]).squeeze(1)


def detached(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Gives no gradient."""
    return third_class_gap(logits, labels, targets).detach()


def scalar(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """One loss for all rows."""
    return third_class_gap(logits, labels, targets).mean()


HERE = "tests.attacks.test_program"


def test_a_users_objective_is_what_rises():
    net, pixels = conv_net(), images(40, seed=27)
    labels = predictions(net, pixels)
    settings = {"name": "pgd", "steps": 8, "eps": "6/255"}
    plain = attacked(net, pixels, labels, **settings)
    own = attacked(net, pixels, labels, **settings, objective=f"{HERE}:third_class_gap")
    with torch.no_grad():
        gaps = [
            third_class_gap(net(torch.from_numpy(made.pixels).permute(0, 3, 1, 2).float() / 255), torch.tensor(labels),
                            torch.tensor(labels))
            for made in (plain, own)
        ]  # fmt: skip
    others = torch.tensor(labels != 2)
    assert (gaps[1] > gaps[0])[others].float().mean() > 0.9


@pytest.mark.parametrize(
    ("name", "says"),
    [("detached", "without gradient"), ("scalar", "wants one per row"), ("missing", "cannot be imported")],
)
def test_an_objective_that_cannot_be_used_is_refused_before_anything_runs(name, says):
    with pytest.raises(JobError, match=says):
        recipe(conv_net(), name="pgd", eps="4/255", objective=f"{HERE}:{name}")


@pytest.mark.parametrize("after", [1, 4])
def test_a_row_takes_so_many_more_steps_after_its_fall(after):
    net, pixels = conv_net(), images(90, seed=28)
    labels = predictions(net, pixels)
    settings = {"name": "pgd", "steps": 12, "eps": "6/255", "step_size": "1/255"}
    at_once = attacked(net, pixels, labels, **settings, stop="success")
    later = attacked(net, pixels, labels, **settings, stop={"after_success": after})
    fell = predictions(net, at_once.pixels) != labels
    first, spent = at_once.columns["steps"][fell], later.columns["steps"][fell]
    assert 20 < fell.sum() < 60
    assert (first < 12 - after).sum() > 5
    np.testing.assert_array_equal(predictions(net, later.pixels) != labels, fell)
    # A fall at step s was seen by gradient s + 1, or by the verdict after the last step, which costs none.
    np.testing.assert_array_equal(spent[first < 12 - after], first[first < 12 - after] + after)
    assert (spent <= 12).all()
    with torch.no_grad():
        margins = [
            _margin(net(torch.from_numpy(one.pixels).permute(0, 3, 1, 2).float() / 255), labels)[fell]
            for one in (at_once, later)
        ]
    assert (margins[1] < margins[0]).mean() > 0.5


@pytest.mark.parametrize("stop", ["success", "never", {"after_success": 2}])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_falls_seen_in_bfloat16_are_stored_as_falls_only_where_they_are(stop, norm):
    net, pixels = conv_net(), images(40, seed=29)
    labels = predictions(net, pixels)
    eps = {"linf": "5/255", "l2": 0.8, "l1": 8}[norm]
    clean = rows(pixels, labels)
    made = recipe(net, precision="bfloat16", name="pgd", steps=8, norm=norm, eps=eps, stop=stop).make(
        clean, seeds(40)[:, None]
    )
    exact = recipe(net, name="pgd", steps=8, norm=norm, eps=eps, stop=stop).make(clean, seeds(40)[:, None])
    low, high = (int((predictions(net, one.pixels) != labels).sum()) for one in (made, exact))
    assert abs(low - high) <= 2
    assert low > 5
