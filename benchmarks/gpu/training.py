"""Adversarial training on the device beside the loop that people write, with torchattacks' PGD where it is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.attacks.timing import Contender, take_turns
from benchmarks.gpu.modes import TF32, compiler, switches
from benchmarks.gpu.networks import Network, networks
from benchmarks.gpu.peers import MISSING, peer
from benchmarks.gpu.setting import Record, Setting
from benchmarks.gpu.subjects import digits
from torch import Tensor, nn

from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind
from hardset.pipeline.training.inner import InnerAttack
from hardset.pipeline.training.learner import Learner
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.training import Train

_STEPS = 10


def line(setting: Setting, *, compiled: bool = False) -> Record:
    """Images per second of PGD-10 adversarial training of ResNet-18 at 32 px, in float32 and bfloat16 or compiled."""
    network = networks(setting)[1]
    batch, steps, epochs = setting.size((256, _STEPS, 8), (8, 2, 1))
    pixels, labels = digits(network.side, 3)
    part = RowsOfKind(pixels, labels, np.arange(len(labels), dtype=np.int64))
    rows = TrainingRows({"clean": part}, batch, 0)

    def learner(**how: object) -> Learner:
        attack = InnerAttack(Attack(name="pgd", eps="8/255", step_size="2/255", steps=steps).resolved(10), 10)
        settings = Train(method="pgd_at", batch=batch, optimiser="sgd", rate=0.01, **how)
        module = network.module(setting.device)
        return Learner(module, settings, attack=attack, total_steps=10_000, device=setting.device)

    ways = {"hardset, float32": learner(), "hardset, bfloat16": learner(precision="bfloat16")}
    if compiled:
        ways = {"hardset, bfloat16, compiled": learner(precision="bfloat16", compile=True)}
    contenders = [
        Contender(name, lambda one=one: one.train(rows, epochs), lambda one=one: one.train(rows, 2))
        for name, one in ways.items()
    ]
    plain = network.module(setting.device, frozen=False)
    contenders.append(_loop("written out", plain, rows, _written_out(plain, steps), epochs, setting))
    theirs = network.module(setting.device, frozen=False)
    library = _library(network, theirs, rows, steps, setting)
    if library is not None:
        contenders.append(_loop("torchattacks", theirs, rows, library, epochs, setting))
    with switches(TF32), compiler(setting):
        times, _ = take_turns(contenders, setting.size(2, 1), setting.settle)
    images = {name: batch * epochs / one.seconds for name, one in times.items()}
    rival = "torchattacks" if library is not None else "written out"
    best = max((name for name in images if name.startswith("hardset")), key=lambda name: images[name])
    return {
        "network": network.name,
        "batch": batch,
        "steps": steps,
        "images_per_second": {name: round(rate, 1) for name, rate in images.items()},
        "torchattacks": "measured" if library is not None else MISSING,
        "beside": rival,
        "ours": best,
        "over_rival": round(images[best] / images[rival], 3),
    }


Perturb = Callable[[Tensor, Tensor], Tensor]


def _loop(
    name: str, module: nn.Module, rows: TrainingRows, perturb: Perturb, steps: int, setting: Setting
) -> Contender:
    """The loop of a tutorial: attack the batch, one step of SGD."""
    optimiser = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    clean = rows.parts["clean"]

    def run(count: int) -> None:
        for number in range(count):
            (pick,) = rows.picks(number)
            images = torch.from_numpy(clean.pixels[pick.rows]).to(setting.device).permute(0, 3, 1, 2).float() / 255
            labels = torch.from_numpy(clean.labels[pick.rows]).to(setting.device)
            adversarial = perturb(images, labels)
            module.train()
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(module(adversarial), labels).backward()
            optimiser.step()

    return Contender(name, lambda: run(steps), lambda: run(2))


def _written_out(module: nn.Module, steps: int) -> Perturb:
    """PGD as papers print it, in eval mode."""
    eps, step = 8 / 255, 2 / 255

    def perturb(clean: Tensor, labels: Tensor) -> Tensor:
        module.eval()
        images = (clean + torch.empty_like(clean).uniform_(-eps, eps)).clamp(0, 1)
        for _ in range(steps):
            images = images.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(module(images), labels), images)
            moved = images.detach() + step * gradient.sign()
            images = (clean + (moved - clean).clamp(-eps, eps)).clamp(0, 1)
        return images.detach()

    return perturb


def _library(network: Network, module: nn.Module, rows: TrainingRows, steps: int, setting: Setting) -> Perturb | None:
    example = torch.zeros(1, 3, network.side, network.side, device=setting.device)
    if peer("torchattacks", module, steps, rows.batch, example) is None:
        return None

    def perturb(images: Tensor, labels: Tensor) -> Tensor:
        module.eval()
        attack = peer("torchattacks", module, steps, rows.batch, images)
        assert attack is not None
        return attack(labels)

    return perturb
