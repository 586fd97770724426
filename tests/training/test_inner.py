"""The attack on a batch: the engine's steps, held against the same walk written out with torch alone."""

from __future__ import annotations

import pytest
import torch

from hardset.pipeline.training.inner import InnerAttack, inner_attack
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.training import Train
from tests.support import job_of
from tests.training.examples import digits, plain_net

LEVELS = 25


def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    part = digits(32)
    pixels = torch.from_numpy(part.pixels).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(part.labels), torch.from_numpy(part.seeds)


def test_it_takes_the_steps_of_pgd_on_the_grid():
    pixels, labels, seeds = given()
    module = plain_net()
    spec = Attack(name="pgd", eps=f"{LEVELS}/255", steps=4, step_size="10/255", random_start=False)
    found = InnerAttack(spec.resolved(10), 10).images(module, module, pixels, labels, seeds)
    clean = pixels.float()
    walker = clean.clone()
    for _ in range(4):
        at = walker.round().div(255).requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(module(at), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, at)
        walker = walker + 10 * slope.sign()
        walker = torch.minimum(torch.maximum(walker, clean - LEVELS), clean + LEVELS).clamp(0, 255)
    assert torch.equal((found * 255).round(), walker.round())


def test_what_it_gives_lies_on_the_grid_and_within_budget_and_fools_more():
    pixels, labels, seeds = given()
    module = plain_net()
    attack = InnerAttack(Attack(name="pgd", eps="0.1", steps=5).resolved(10), 10)
    found = attack.images(module, module, pixels, labels, seeds) * 255
    assert torch.equal(found.round().div(255), found / 255)
    assert float((found - pixels.float()).abs().max()) <= LEVELS
    before, after = (
        torch.nn.functional.cross_entropy(module(levels / 255), labels, reduction="none") for levels in (pixels, found)
    )
    assert bool((after > before + 0.02).all())


def test_away_from_the_answer_is_away_from_what_the_model_says_and_not_from_the_label():
    pixels, labels, seeds = given()
    module = plain_net()
    attack = InnerAttack(Attack(name="pgd", eps="0.1", steps=5, random_start=True).resolved(10), 10)
    one = attack.images(module, module, pixels, labels, seeds, diverging=True)
    other = attack.images(module, module, pixels, (labels + 1) % 10, seeds, diverging=True)
    assert torch.equal(one, other)


def test_modes_and_gradient_flags_come_back():
    pixels, labels, seeds = given()
    module = plain_net().train()
    InnerAttack(Attack(name="pgd", eps="0.1", steps=1).resolved(10), 10).images(module, module, pixels, labels, seeds)
    assert module.training and all(parameter.requires_grad for parameter in module.parameters())


def test_unset_it_follows_from_the_first_attack_recipe(weights, tmp_path):
    job = job_of(weights, tmp_path)
    assert inner_attack(job, Train(method="pgd_at"), 10).spec.model_dump(include={"name", "steps"}) == {
        "name": "pgd",
        "steps": 5,
    }
    fast = inner_attack(job, Train(method="fgsm_rs"), 10).spec
    assert (fast.name, fast.random_start, fast.step_size) == ("fgsm", True, fast.eps * 5 / 4)
    with pytest.raises(JobError, match="no attack recipe"):
        inner_attack(job.model_copy(update={"recipes": job.recipes[2:]}), Train(method="pgd_at"), 10)
