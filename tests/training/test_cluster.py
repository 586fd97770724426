"""Ray Train: two workers compute what one does, and a killed worker costs no more than its epoch."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hardset.pipeline.training.epochs import Course, Trained, train
from hardset.pipeline.training.inner import InnerAttack
from hardset.pipeline.training.ray_workers import TrainingWork, Workers, train_on_workers
from hardset.schemas.job.job import Network, Run
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.training import Train
from tests.training.examples import CPU, digits, normed_net, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ATTACK = InnerAttack(Attack(name="pgd", eps="0.1", steps=2, random_start=True).resolved(10), 10)
ROWS = rows_of(digits(512))
MARK = "HARDSET_TEST_MARK"


def course(epochs: int = 3, seed: int = 1, **settings: Any) -> Course:
    spec = Train(**{"method": "pgd_at", "batch": 64, "ema": 0.9, "rate": 0.01} | settings)
    return Course(spec, ATTACK, seed=seed, epochs=epochs, stop=epochs)


def on_ray(workers: int, wanted: Course, folder: Path, factory: str = "normed_net") -> Trained:
    network = Network(factory=f"tests.training.examples:{factory}")
    work = TrainingWork(network, 10, 1, ROWS, wanted, None, 0, gpu=False, threads=1)
    return train_on_workers(work, Workers(workers, Run(), str(folder)))


def alone(wanted: Course) -> tuple[Trained, list[float]]:
    torch.manual_seed(0)
    losses: list[float] = []
    found = train(normed_net(), ROWS, wanted, device=CPU, on_epoch=lambda _, tally, __: losses.append(tally.loss))
    return found, losses


def kill_once(images: Tensor, seeds: Tensor) -> Tensor:
    """An augmentation whose process dies in the middle of a step, the first time it gets there."""
    mark = Path(os.environ[MARK])
    left = int(mark.read_text(encoding="utf-8"))
    if left == 0:
        mark.write_text("-1", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
    if left > 0:
        mark.write_text(str(left - 1), encoding="utf-8")
    return images


def test_two_workers_give_the_loss_curve_of_one(tmp_path):
    one, two = (on_ray(count, course(), tmp_path / str(count)) for count in (1, 2))
    assert one.last is not None and two.last is not None
    assert one.gradients == two.gradients == 3 * ROWS.steps * 64 * 2
    assert two.last.loss == pytest.approx(one.last.loss, rel=1e-3)
    for name, tensor in one.weights.items():
        assert torch.allclose(tensor.float(), two.weights[name].float(), atol=1e-3), name
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_worker_killed_at_a_random_step_ends_within_the_spread_of_seeds(tmp_path, monkeypatch, seed):
    mark = tmp_path / "mark"
    step = int(np.random.default_rng(seed).integers(1, 2 * ROWS.steps))
    mark.write_text(str(step), encoding="utf-8")
    monkeypatch.setenv(MARK, str(mark))
    killed = on_ray(1, course(augment="tests.training.test_cluster:kill_once"), tmp_path / "killed")
    assert mark.read_text(encoding="utf-8") == "-1"
    losses = [found.last.loss for found in (alone(course(seed=other))[0] for other in range(5)) if found.last]
    assert killed.last is not None
    spread = max(losses) - min(losses)
    assert min(losses) - spread <= killed.last.loss <= max(losses) + spread
