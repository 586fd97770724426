"""`hardset.attack` and `hardset.augment` on tensors: what a dataset would hold, whatever goes along."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hardset
from hardset.pipeline.augment.recipe import replay_params

EPS = 8 / 255


class Net(nn.Module):
    """A small net with what attacks trip over: batch normalisation, dropout, and a mode of its own."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten()
        )
        self.head = nn.Linear(8 * 64, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images - 0.5))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model() -> Net:
    torch.manual_seed(3)
    return Net()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(model: Net, images: Tensor) -> Tensor:
    """What the model says of the stored images, but for the last two."""
    model.eval()
    with torch.no_grad():
        found: Tensor = model((images * 255).round() / 255).argmax(dim=1)
    model.train()
    found[-2:] = (found[-2:] + 1) % 5
    return found


def levels(images: Tensor) -> Tensor:
    return (images.double() * 255).round()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd_ce", "square"])
def test_what_comes_out_is_on_the_grid_within_the_budget_and_judged(
    model: Net, images: Tensor, labels: Tensor, name: str
) -> None:
    steps = {"square": {"steps": 50}, "fgsm": {}}.get(name, {"steps": 5})
    result = hardset.attack(model, images, labels, name, eps=EPS, **steps)
    assert torch.equal(result.images, (levels(result.images) / 255).float())
    assert torch.equal(levels(result.clean), levels(images))
    change = (levels(result.images) - levels(result.clean)).abs().amax(dim=(1, 2, 3))
    assert change.max() <= 8 and torch.equal(change.int(), result.linf_levels)
    plain = nn.Sequential(model).eval()
    with torch.no_grad():
        logits = plain(result.images)
    model.train()
    assert torch.equal(result.pred, logits.argmax(dim=1))
    own = logits.gather(1, labels[:, None])[:, 0]
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    torch.testing.assert_close(result.margin, own - other)
    right = result.clean_pred == labels
    assert right.tolist() == [True] * 10 + [False] * 2
    assert torch.equal(result.success, right & (result.pred != labels))
    torch.testing.assert_close(result.l2, (result.images - result.clean).flatten(1).norm(dim=1), atol=1e-5, rtol=1e-5)


def test_it_is_much_better_than_chance(model: Net, images: Tensor, labels: Tensor) -> None:
    result = hardset.attack(model, images, labels, "pgd", eps=32 / 255)
    assert result.success[:10].all()
    assert (result.margin < result.clean_margin).all()


def test_a_row_depends_on_seed_image_and_settings_alone(model: Net, images: Tensor, labels: Tensor) -> None:
    def run(order: list[int], **settings: Any) -> Tensor:
        return hardset.attack(model, images[order], labels[order], eps=EPS, steps=3, batch=4, **settings).images

    every, some = run(list(range(12))), run([7, 2, 11])
    assert torch.equal(every[[7, 2, 11]], some)
    assert not torch.equal(some, run([7, 2, 11], seed=1))


def test_the_model_and_the_callers_generators_are_left_as_they_were(model: Net, images: Tensor, labels: Tensor) -> None:
    model.train()
    model.body[1].eval()
    model.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    asked = images.clone().requires_grad_(True)
    hardset.attack(model, asked, labels, eps=EPS, steps=2)
    assert model.training and not model.body[1].training and model.body[3].training
    assert not model.head.weight.requires_grad and model.head.bias.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert asked.grad is None and torch.equal(asked.detach(), images)
    model.head.weight.requires_grad_(True)
    model.train()


def test_a_list_of_budgets_gives_an_entry_for_each(model: Net, images: Tensor, labels: Tensor) -> None:
    result = hardset.attack(model, images[:3], labels[:3], "pgd", eps=["2/255", "8/255"], steps=3)
    assert result.parents.tolist() == [0, 0, 1, 1, 2, 2]
    assert (result.eps * 255).round().tolist() == [2, 8] * 3
    assert (result.linf_levels <= (result.eps * 255).round()).all()


def test_a_target_is_success_when_it_is_reached(model: Net, images: Tensor, labels: Tensor) -> None:
    result = hardset.attack(model, images, labels, "pgd", eps=64 / 255, steps=20, target=3)
    assert torch.equal(result.success, (result.pred == 3) & (labels != 3))
    assert result.success.any()


def test_a_model_that_answers_at_random_is_judged_from_the_same_draws(images: Tensor, labels: Tensor) -> None:
    class Noisy(Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images + torch.randn_like(images) / 50)

    model = Noisy()
    first, second = (hardset.attack(model, images, labels, eps=EPS, steps=2, eot=2) for _ in range(2))
    assert torch.equal(first.images, second.images) and torch.equal(first.margin, second.margin)
    alone = hardset.attack(model, images[4:5], labels[4:5], eps=0, steps=2, eot=2)
    assert torch.equal(alone.margin, alone.clean_margin)


def test_an_attack_of_ones_own_goes_by_its_import_path(
    model: Net, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "extending"))
    run = partial(hardset.attack, model, images, labels, "attack:WOBBLE", eps=EPS, steps=6)
    fast, slow = (run(settings={"period": period}) for period in (2, 6))
    assert set(fast.found_by) == {"attack:WOBBLE"}
    assert fast.linf_levels.max() <= 8 and not torch.equal(fast.images, slow.images)
    with pytest.raises(hardset.JobError, match=r"attack\.settings\.period: got 1"):
        run(settings={"period": 1})
    del sys.modules["attack"]


IMAGES, LABELS = torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
FLAT = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("name", {"name": "pgdd"}, "attack: name: .*pgd"),
    ("setting", {"restrats": 3}, "attack: restrats: .*restarts"),
    ("eps", {"eps": 8}, r"attack: eps: got 8; wants at most 1.*8/255"),
    ("ignored", {"name": "fgsm", "momentum": 1.0}, "attack: momentum: fgsm takes no momentum"),
    ("target", {"target": 10}, "attack.target: got 10; wants a class from 0 to 9"),
    ("bytes", {"images": (IMAGES * 255).to(torch.uint8)}, "images: got torch.uint8 .*float"),
    ("normalised", {"images": IMAGES * 4 - 2}, "images: has values from .* wants 0 to 1"),
    ("nan", {"images": IMAGES * torch.nan}, "images: has values from nan"),
    ("one", {"images": IMAGES[0]}, r"images: .*wants a float tensor of the shape \(N, C, H, W\)"),
    ("channels", {"images": torch.rand(4, 2, 8, 8)}, "images: .*1 or 3 channels"),
    ("none", {"images": IMAGES[:0], "labels": LABELS[:0]}, "images: .*one or more"),
    ("labels", {"labels": LABELS[:3]}, r"labels: .*wants an integer tensor of the shape \(4,\)"),
    ("class", {"labels": LABELS + 10}, "labels: row 0 has 10; wants 0 to 9"),
    ("function", {"model": lambda images: images}, "model: got a function; wants a torch.nn.Module"),
    ("half", {"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).half()}, "model: holds torch.float16"),
    ("misfit", {"model": nn.Linear(7, 3)}, r"model: cannot take images of the shape \(4, 1, 8, 8\)"),
    ("logits", {"model": nn.Conv2d(1, 3, 1)}, r"model: returns \(4, 3, 8, 8\)"),
]


@pytest.mark.parametrize(("changes", "sentence"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_does_not_go_together_is_said_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"model": FLAT, "images": IMAGES, "labels": LABELS, "name": "pgd", "eps": EPS} | changes
    with pytest.raises(hardset.JobError, match=sentence):
        hardset.attack(**given)


def test_logits_that_are_not_finite_are_no_verdict() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :10] / 0

    with pytest.raises(hardset.RunError, match="NaN or infinite logits"):
        hardset.attack(Broken(), IMAGES, LABELS, eps=EPS)


def test_augmented_images_are_what_their_parameters_say() -> None:
    images = torch.rand(3, 3, 16, 16)
    ops = ["hflip", {"name": "rotate", "degrees": 20}]
    result = hardset.augment(images, ops, seed=2, variants=2)
    assert result.images.shape == (6, 3, 16, 16) and result.parents.tolist() == [0, 0, 1, 1, 2, 2]
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for image, parent, params in zip(result.images, result.parents, result.params, strict=True):
        again = replay_params(pixels[int(parent)], params, seed=0)
        assert np.array_equal((image * 255).round().byte().permute(1, 2, 0).numpy(), again)
    alone = hardset.augment(images[1:2], ops, seed=2, variants=2)
    assert torch.equal(alone.images, result.images[2:4])
    assert not torch.equal(alone.images, hardset.augment(images[1:2], ops, seed=3, variants=2).images)


def test_an_operation_that_there_is_not_is_said_in_a_sentence() -> None:
    with pytest.raises(hardset.JobError, match=r"augment: ops\.0"):
        hardset.augment(torch.rand(1, 3, 8, 8), ["hflop"])
