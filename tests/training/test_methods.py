"""Every method of the table, by construction, and methods of a user's own."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hardset.pipeline.hardening.loop import loop_id
from hardset.pipeline.training import methods
from hardset.pipeline.training.inner import inner_attack
from hardset.pipeline.training.methods import LOSSES, Batch, Method, check_method, method_of, weighing
from hardset.pipeline.training.split_rows import read_splits
from hardset.schemas.errors import JobError
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.training import Train
from hardset.schemas.job.training_methods import INNER_ATTACKS, METHODS, MethodDeclaration
from hardset.schemas.reading.loading import parse_job
from tests.support import document, job_of
from tests.training.examples import digits, learner, plain_net, rows_of, weights_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "extending"
ALP = "training_method:ALP"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def given() -> Batch:
    rng = torch.Generator().manual_seed(2)
    clean, adversarial = torch.rand(2, 5, 1, 8, 8, generator=rng)
    return Batch(clean, adversarial, torch.arange(5))


def test_every_method_has_a_loss_and_every_loss_a_method() -> None:
    assert LOSSES.keys() == METHODS.keys()
    assert all(method.code is not None for method in METHODS.values())


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_looks_at_what_its_declaration_says(name: str) -> None:
    """At attacked rows where batches are attacked, and at beta where the method takes one."""
    declared, batch, net = METHODS[name], given(), plain_net()
    asked: list[torch.Tensor] = []

    def ask(images: torch.Tensor) -> torch.Tensor:
        asked.append(images)
        return net(images)

    settings = Train(method=name)
    loss, logits = method_of(settings).loss(ask, batch, weighing(settings))
    assert loss.shape == (5,) and logits.shape == (5, 10)
    assert any(images is batch.adversarial for images in asked) == declared.on_the_fly
    heavier = methods.Weighing(beta=100.0, smoothing=0.0)
    again, _ = method_of(settings).loss(net, batch, heavier)
    assert torch.equal(loss, again) == (declared.beta is None)


@pytest.mark.parametrize("name", METHODS)
def test_settings_that_a_method_would_ignore_are_refused(name: str) -> None:
    declared = METHODS[name]
    for setting, taken in (("beta", declared.beta is not None), ("attack", declared.on_the_fly), ("settings", False)):
        value: Any = {"beta": 2, "attack": {"name": "pgd", "eps": "8/255"}, "settings": {"x": 1}}[setting]
        if taken:
            Train.model_validate({"method": name, setting: value})
        else:
            with pytest.raises(ValueError, match=f"{setting}: {name}"):
                Train.model_validate({"method": name, setting: value})


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.on_the_fly])
def test_the_inner_attack_is_the_declared_one(name: str, weights: dict[str, str], tmp_path: Path) -> None:
    declared, job = METHODS[name], job_of(weights, tmp_path)
    spec = inner_attack(job, Train(method=name), 10).spec
    assert spec.name == declared.attack
    if declared.random_start is not None:
        assert spec.random_start == declared.random_start
    if declared.step_share is not None:
        assert spec.step_size == spec.eps * declared.step_share


def test_attacks_on_batches_are_those_whose_last_iterate_is_their_result() -> None:
    assert INNER_ATTACKS == ("fgsm", "bim", "pgd", "mi_fgsm")
    assert set(INNER_ATTACKS) <= ATTACKS.keys()


def test_a_method_of_ones_own_learns_with_its_settings_and_gives_the_same_weights_twice() -> None:
    part, found = digits(), []
    for clean in (0.25, 0.25, 1.0):
        one = learner(plain_net(), method=ALP, settings={"clean": clean})
        first, second = one.train(rows_of(part), 6), one.train(rows_of(part), 6, first=6)
        assert second.loss < first.loss and second.gradients == 6 * 64 * 2
        found.append(weights_of(one.result))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_without_its_terms_it_is_adversarial_training() -> None:
    part, found = digits(), []
    for settings in ({"method": ALP, "beta": 0, "settings": {"clean": 0}}, {"method": "pgd_at"}):
        one = learner(plain_net(), **settings)
        one.train(rows_of(part), 4)
        found.append(weights_of(one.result))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_its_code_version_is_in_the_id_of_the_loop(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harden = {"rounds": 1, "validation": {"fraction": 0.2}}
    job = parse_job(document(weights, tmp_path, train={"method": ALP}, harden=harden))
    splits = read_splits(job, job.harden.validation)
    before = loop_id(job, splits)
    module = sys.modules["training_method"]

    raised = Method(replace(module.ALP.declaration, code=2), module.ALP.loss)
    monkeypatch.setattr(module, "ALP", raised)
    assert loop_id(job, splits) != before


def summed(ask: Any, batch: Batch, weighing: Any) -> tuple[torch.Tensor, torch.Tensor]:
    logits = ask(batch.clean)
    return logits.sum(), logits


SUMMED = Method(MethodDeclaration(batch="clean rows", minimises="nothing"), summed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "training_method:ALPS"}, r"train\.method: training_method has no ALPS; did you mean ALP\?"),
        ({"method": "training_method:loss"}, r"train\.method: .* is a function; wants a .*methods\.Method"),
        ({"method": ALP, "settings": {"clean": 2}}, r"train\.settings\.clean: got 2; wants a number from 0 to 1"),
        ({"method": f"{__name__}:SUMMED", "beta": 2}, r"train\.beta: .*SUMMED has no robust term"),
    ],
)
def test_what_cannot_be_used_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        check_method(Train.model_validate(settings))


def test_a_loss_that_is_not_one_per_row_is_refused() -> None:
    with pytest.raises(JobError, match=r"SUMMED gives \(\) and \(64, 10\); wants one loss per row, \(64,\)"):
        learner(plain_net(), method=f"{__name__}:SUMMED").train(rows_of(digits()), 1)


def test_a_name_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(JobError, match=r"train\.method: got 'tradse'; wants shards, standard.* did you mean trades"):
        parse_job({"name": "x", "source": {"format": "digits"}, "output": {"path": "o"}, "train": {"method": "tradse"}})


def test_losses_are_written_in_logits_alone() -> None:
    """So that a loss can be used for a model of any kind."""
    assert all(list(inspect.signature(loss).parameters) == ["ask", "batch", "weighing"] for loss in LOSSES.values())
