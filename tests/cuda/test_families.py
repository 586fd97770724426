"""Augmentation, GAN, training and whole shards on a device: the same again, and what does not depend on the batch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from hardset.pipeline.audit.replay import compare
from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.pipeline.gans.training import train_generator
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.training.epochs import Course, train
from hardset.pipeline.training.inner import InnerAttack
from hardset.schemas.job.recipes import Attack, Augment, GanTraining
from hardset.schemas.job.training import Train
from hardset.schemas.reading.loading import parse_job
from tests.cuda.subjects import same, seeds

CHAIN = [{"name": "hflip", "p": 0.5}, {"name": "rotate", "degrees": 15}, {"name": "crop", "padding": 2}]
NOISE = {"name": "gaussian_noise", "std": 0.05}


def augment(device: torch.device, batch: int = 128) -> AugmentRecipe:
    spec = Augment.model_validate({"kind": "augment", "ops": [*CHAIN, NOISE], "variants": 2})
    return AugmentRecipe(spec, batch=batch, device=device)


def test_augmented_rows_come_out_the_same_in_batches_of_any_size(device: torch.device, some_rows: CleanRows) -> None:
    whole = augment(device).make(some_rows, seeds(some_rows, 2))
    assert same(whole, augment(device).make(some_rows, seeds(some_rows, 2)))
    assert same(whole, augment(device, batch=7).make(some_rows, seeds(some_rows, 2)))


def test_augmented_rows_are_the_cpus_but_for_rounding(device: torch.device, some_rows: CleanRows) -> None:
    here, there = (augment(at).make(some_rows, seeds(some_rows, 2)) for at in (torch.device("cpu"), device))
    assert here.columns["params"] == there.columns["params"]
    difference = np.abs(here.pixels.astype(int) - there.pixels)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_a_generator_comes_out_the_same_twice_and_its_samples_do(device: torch.device, some_rows: CleanRows) -> None:
    settings = GanTraining(steps=30 if device.type == "cuda" else 5, batch=32, features=16)
    one, other = (
        train_generator(some_rows.pixels, some_rows.labels, classes=10, settings=settings, seed=3, device=device)
        for _ in range(2)
    )
    weights = [one.net.state_dict(), other.net.state_dict()]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    asked = some_rows.take(np.arange(60))
    recipe = SampleRecipe(one, classes=10, batch=32, device=device)
    made = recipe.make(asked, seeds(asked))
    assert same(made, recipe.make(asked, seeds(asked)))
    part = np.arange(30, 50)
    np.testing.assert_array_equal(recipe.make(asked.take(part), seeds(asked)[part]).pixels, made.pixels[part])


@pytest.mark.parametrize("settings", [{"method": "pgd_at"}, {"method": "trades", "precision": "bfloat16"}], ids=str)
def test_adversarial_training_gives_the_same_weights_twice(
    settings: dict[str, Any], device: torch.device, some_rows: CleanRows
) -> None:
    part = RowsOfKind(some_rows.pixels, some_rows.labels, seeds(some_rows)[:, 0])
    attack = InnerAttack(Attack(name="pgd", eps="0.1", steps=2, random_start=True).resolved(10), 10)
    found = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = small_cnn()
        course = Course(Train(batch=100, epochs=2, augment=CHAIN, **settings), attack, 1, epochs=2, stop=2)
        found.append(train(module, TrainingRows({"clean": part}, 100, 3), course, device=device).weights)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not torch.equal(found[0]["0.weight"], small_cnn().state_dict()["0.weight"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_row_is_replayed_bit_for_bit(
    precision: str, device: torch.device, classifier: nn.Module, tmp_path: Path
) -> None:
    safetensors.torch.save_file(copy.deepcopy(classifier).state_dict(), tmp_path / "weights.safetensors")
    job = parse_job(
        {
            "name": "device",
            "source": {"format": "digits", "limit": 96},
            "model": {
                "factory": "hardset.pipeline.models.zoo:small_cnn",
                "weights": str(tmp_path / "weights.safetensors"),
                "classes": 10,
            },
            "recipes": [
                {"kind": "attack", "name": "pgd", "eps": "40/255", "steps": 5},
                {"kind": "augment", "ops": [*CHAIN, NOISE]},
            ],
            "output": {"path": str(tmp_path / "out"), "shard_rows": 96},
            "run": {"batch": 64, "precision": precision},
        }
    )
    plan = make_plan(job)
    for shard in plan.shards:
        assert shard.range is not None
        made = make_shard(shard, plan.ranges[shard.range], Worker(job, plan, device))
        again = Worker(job, plan, device)
        for at in (0, 50, 95):
            row = {name: None if values is None else values[at] for name, values in made.columns.items()}
            row = {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
            replayed = compare(row, shard, plan, again)
            assert replayed.equal, replayed
            assert replayed.columns_differing == ()
