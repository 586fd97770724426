"""A measurement is held against models whose robustness has a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hardset.pipeline.evaluation.measure import Settings, judged, measure
from hardset.schemas.errors import JobError
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.recipes import Attack

ROWS, SIDE = 40, 4
SETTINGS = Settings(batch=16)


class Halves(nn.Module):
    """Two logits, +s and -s, where s weighs every pixel by `weight`: the Linf distance to the border is |s| / |w|_1."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(1, SIDE, SIDE, generator=generator))

    def forward(self, images):
        score = ((images - 0.5) * self.weight).sum(dim=(1, 2, 3))
        return torch.stack((score, -score), dim=1)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return Halves()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Grey enough that no budget below is cut short at black or white."""
    return np.random.default_rng(0).integers(64, 192, (ROWS, SIDE, SIDE, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def labels(module, pixels) -> np.ndarray:
    """The model's own classes, but for the first five rows."""
    pred = judged(module, pixels, np.zeros(ROWS, np.int64), SETTINGS).pred
    return np.where(np.arange(ROWS) < 5, 1 - pred, pred)


KEYS = tuple(f"rows#{i}" for i in range(ROWS))


def attack(**settings) -> Attack:
    return Attack.model_validate({"name": "pgd", "eps": ["2/255", "8/255", "32/255"], "steps": 8} | settings)


def distance(module, pixels) -> np.ndarray:
    """Levels (N,) that the model needs to change its mind, exactly."""
    weight = module.weight.detach().double().numpy().reshape(SIDE, SIDE, 1)
    score = ((pixels / 255 - 0.5) * weight).sum(axis=(1, 2, 3))
    return np.abs(score) / np.abs(weight).sum() * 255


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd_ce"])
def test_rows_fall_at_the_budget_of_the_closed_form(module, pixels, labels, name):
    tried = attack(name=name, steps=1 if name == "fgsm" else 12)
    found = measure(module, pixels, labels, KEYS, tried, SETTINGS, classes=2)
    right = np.arange(ROWS) >= 5
    assert (found.right == right).all()
    needed = distance(module, pixels)
    for position, levels in enumerate((2, 8, 32)):
        assert (found.robust[position] == right & (needed > levels)).all()
    assert found.eps.tolist() == [2 / 255, 8 / 255, 32 / 255]
    assert 0 < found.robust[1].sum() < right.sum(), "the budgets tell rows apart"


def test_verdicts_are_the_models_own_on_the_stored_pixels(module, pixels, labels):
    found = measure(module, pixels, labels, KEYS, attack(), SETTINGS, classes=2)
    with torch.no_grad():
        images = torch.from_numpy(found.pixels[1]).permute(0, 3, 1, 2).float() / 255
        logits = module(images).double().numpy()
    own = logits[np.arange(ROWS), labels]
    np.testing.assert_allclose(found.attacked.margin[1], own - logits[np.arange(ROWS), 1 - labels], atol=1e-5)
    assert np.abs(found.pixels[1].astype(int) - pixels).max() <= 8
    assert found.clean_accuracy == 35 / 40
    assert found.robust_accuracy == found.robust[2].mean()


def test_a_row_of_a_chain_costs_nothing_after_its_fall(module, pixels, labels):
    found = measure(module, pixels, labels, KEYS, attack(chain=True), SETTINGS, classes=2)
    fallen = found.right & ~found.robust[1]
    assert fallen.any()
    assert (found.gradients[2, fallen] == 0).all()
    assert (found.gradients[1, found.robust[1]] == 8).all()
    resisting = found.robust[2]
    assert (found.gradients[:, resisting] == 8).all()


def test_a_row_does_not_depend_on_its_company(module, pixels, labels):
    whole = measure(module, pixels, labels, KEYS, attack(), SETTINGS, classes=2)
    some = np.array([31, 7, 22])
    keys = [KEYS[i] for i in some]
    part = measure(module, pixels[some], labels[some], keys, attack(), SETTINGS, classes=2)
    assert (part.pixels == whole.pixels[:, some]).all()
    assert (part.attacked.margin == whole.attacked.margin[:, some]).all()
    other = measure(module, pixels[some], labels[some], keys, attack(), Settings(batch=16, seed=1), classes=2)
    assert (other.pixels != part.pixels).any()


def test_the_model_is_given_back_as_it_was(pixels, labels):
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(SIDE * SIDE), nn.Dropout(0.5), nn.Linear(SIDE * SIDE, 2))
    module.train()
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    measure(module, pixels, labels, KEYS, attack(), SETTINGS, classes=2)
    assert [part.training for part in module.modules()] == [True, True, False, True, True]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class Broken(Halves):
    """Has no finite answer for rows whose first pixel is bright."""

    def forward(self, images):
        logits = super().forward(images)
        return torch.where(images[:, 0, :1, 0] > 0.9, torch.nan, logits)


def test_rows_without_a_verdict_count_as_wrong_and_leave_the_others_alone(pixels, labels):
    bright = pixels.copy()
    bright[:, 0, 0, 0] = 100
    bright[[6, 9], 0, 0, 0] = 255
    found = measure(Broken(), bright, labels, KEYS, attack(eps="2/255"), SETTINGS, classes=2)
    whole = measure(Halves(), bright, labels, KEYS, attack(eps="2/255"), SETTINGS, classes=2)
    lost = np.isin(np.arange(ROWS), [6, 9])
    assert (found.clean.pred[lost] == -1).all()
    assert not found.robust[:, lost].any()
    assert (found.pixels[:, lost] == bright[lost]).all()
    assert (found.robust[:, ~lost] == whole.robust[:, ~lost]).all()


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_can_be_measured(module, pixels, labels, name):
    facts = ATTACKS[name]
    settings = {"eps": "64/255" if "linf" in facts.norms else 64 if facts.norms == ("l0",) else 2}
    settings["steps"] = 100 if facts.takes("steps") and name != "fgsm" else None
    found = measure(module, pixels[:8], labels[:8], KEYS[:8], attack(name=name, **settings), SETTINGS, classes=2)
    assert found.gradients.sum() + found.queries.sum() > 0
    assert distance(module, pixels[:8]).max() < 60
    assert found.right.sum() == 3
    assert found.robust[0].sum() == 0


def test_a_range_of_budgets_is_refused(module, pixels, labels):
    spread = attack(eps={"min": "1/255", "max": "8/255"})
    with pytest.raises(JobError, match="eps is a range from 1/255 to 8/255"):
        measure(module, pixels, labels, KEYS, spread, SETTINGS, classes=2)
    with pytest.raises(ValueError, match="labels"):
        measure(module, pixels, labels + 1, KEYS, attack(), SETTINGS, classes=2)
