"""Models trained in seconds on the digits: robust ones, and such as only look so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import DigitsSource


def digits(split: str) -> CleanRows:
    reader = open_source(DigitsSource(splits=(split,)))
    return reader.read(reader.plan(5000)[0], reader.probe(), 10)[0]


def adversarially_trained(*, eps: float, steps: int, epochs: int) -> nn.Module:
    """Trained on its own attack of so many steps, without a random start. One step, FGSM, is what can be overfitted."""
    rows = digits("train")
    images = torch.from_numpy(np.array(rows.pixels)).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(rows.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_cnn()
        optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
        for _ in range(epochs):
            module.train()
            for batch in torch.randperm(len(labels)).split(64):
                attacked = _attacked(module, images[batch], labels[batch], eps, steps)
                optimiser.zero_grad()
                F.cross_entropy(module(attacked), labels[batch]).backward()
                optimiser.step()
    return module.eval()


def _attacked(module: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int) -> Tensor:
    change = torch.zeros_like(images)
    for _ in range(steps):
        change.requires_grad_(True)
        loss = F.cross_entropy(module((images + change).clamp(0, 1)), labels)
        (gradient,) = torch.autograd.grad(loss, change)
        step = eps if steps == 1 else 2.5 * eps / steps
        change = (change.detach() + step * gradient.sign()).clamp(-eps, eps)
    return (images + change).clamp(0, 1)


def fitted(pixels: np.ndarray, labels: np.ndarray, *, weights: str | None = None) -> nn.Module:
    """Trained on rows as they are, from `weights` on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_cnn()
        if weights:
            module.load_state_dict(safetensors.torch.load_file(weights))
        return fit_classifier(module, pixels, labels, epochs=8, seed=0)


def saved(module: nn.Module, path: Path) -> str:
    safetensors.torch.save_file(module.state_dict(), path)
    return str(path)
