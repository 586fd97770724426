"""One step and many: averages, perturbed weights, decay, and going on from a saved state."""

from __future__ import annotations

import io
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.loading.parts import RowsOfKind
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.training.averaging import moving_average, perturbed
from hardset.pipeline.training.optimisers import decayed_groups, rate_at
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.training import Train
from hardset.schemas.job.training_methods import METHODS
from tests.training.examples import digits, learner, plain_net, rows_of, weights_of


@pytest.fixture(scope="module")
def part() -> RowsOfKind:
    return digits()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_gives_the_same_weights_twice(part, method):
    found = []
    for _ in range(2):
        one = learner(plain_net(), method=method)
        first = one.train(rows_of(part), 6)
        second = one.train(rows_of(part), 6, first=6)
        assert second.loss < first.loss
        assert second.gradients == (6 * 64 * 2 if METHODS[method].on_the_fly else 0)
        found.append(weights_of(one.result))
    assert (found[0] == found[1]).all()


def test_a_saved_state_goes_on_as_if_there_had_been_no_break(part):
    settings = {"method": "pgd_at", "ema": 0.9, "awp": 0.01, "clip": 1.0}
    whole = learner(small_cnn(), **settings)
    torch.manual_seed(1)
    whole.train(rows_of(part), 3)
    file = io.BytesIO()
    torch.save(whole.state(), file)
    file.seek(0)
    later = learner(small_cnn(), **settings)
    later.load(torch.load(file, weights_only=True))
    for one in (whole, later):
        torch.manual_seed(2)  # of the dropout
        one.train(rows_of(part), 3, first=3)
    assert (weights_of(whole.result) == weights_of(later.result)).all()
    assert later.gradients == whole.gradients == 6 * 64 * 2


def test_a_state_of_another_model_is_refused(part):
    one = learner(plain_net(), method="standard")
    with pytest.raises(RunError, match="does not fit the model"):
        learner(small_cnn(), method="standard").load(one.state())


def test_the_average_is_the_weighted_mean_of_what_the_weights_were():
    module = nn.Linear(1, 1, bias=False)
    average = moving_average(module, 0.5)
    kept = None
    for value in (1.0, 5.0, -3.0, 2.0):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update_parameters(module)
        updates = int(average.n_averaged) - 1
        decay = min(0.5, (1 + updates) / (10 + updates))
        kept = value if kept is None else decay * kept + (1 - decay) * value
    assert float(average.module.weight.detach()) == pytest.approx(kept)


def test_perturbed_weights_move_by_their_own_norm_along_the_gradient_and_come_back():
    module = nn.Linear(3, 2)
    before = weights_of(module)
    gradients = [torch.ones(2, 3), torch.ones(2)]
    with perturbed(module, gradients, 0.1):
        moved = module.weight.detach() - torch.from_numpy(before[:6]).view(2, 3)
        assert float(moved.norm()) == pytest.approx(0.1 * float(np.linalg.norm(before[:6])), rel=1e-4)
        assert float(moved.std()) == pytest.approx(0, abs=1e-6)
        assert (module.bias.detach().numpy() == before[6:]).all()
    assert (weights_of(module) == before).all()


def test_norms_and_biases_do_not_decay():
    decayed, others = decayed_groups(small_cnn(), 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {parameter.dim() for parameter in decayed["params"]} == {2, 4}
    assert {parameter.dim() for parameter in others["params"]} == {1}


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ("cosine", {0.05: 0.5, 0.1: 1.0, 0.55: 0.5, 1.0: 0.0}),
        ("cyclic", {0.05: 0.5, 0.1: 1.0, 0.55: 0.5, 1.0: 0.0}),
        ("constant", {0.05: 0.5, 0.1: 1.0, 0.55: 1.0, 1.0: 1.0}),
    ],
)
def test_rates_rise_and_fall_as_they_are_named(schedule, points):
    settings = Train(schedule=schedule)
    assert {share: rate_at(settings, share) for share in points} == pytest.approx(points)


def test_a_loss_that_is_not_finite_ends_the_training(part):
    with pytest.raises(RunError, match=r"not finite.*lower train\.rate"):
        learner(plain_net(), method="standard", rate=1e30, warm_up=0.0, optimiser="sgd").train(rows_of(part), 4)


def brighter(images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    return images + 0.5


def cropped(images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    return images[..., 1:]


def test_an_augmentation_of_ones_own_changes_what_is_trained_on(part):
    plain, own = (learner(plain_net(), method="standard", **more) for more in ({}, {"augment": f"{__name__}:brighter"}))
    for one in (plain, own):
        one.train(rows_of(part), 2)
    assert (weights_of(plain.result) != weights_of(own.result)).any()
    with pytest.raises(JobError, match=r"cropped returned \(64, 1, 8, 7\); wants images of shape \(64, 1, 8, 8\)"):
        learner(plain_net(), method="standard", augment=f"{__name__}:cropped").train(rows_of(part), 1)


def test_an_optimiser_of_ones_own_takes_the_steps(part):
    one = learner(plain_net(), method="standard", optimiser="torch.optim:RMSprop", rate=1e-3)
    first, second = one.train(rows_of(part), 6), one.train(rows_of(part), 6, first=6)
    assert second.loss < first.loss
    with pytest.raises(JobError, match="returned a OrderedDict; wants a"):
        learner(plain_net(), method="standard", optimiser="tests.training.test_learner:no_optimiser")


def no_optimiser(groups: list[dict[str, object]], **_: float) -> OrderedDict[str, object]:
    return OrderedDict()
