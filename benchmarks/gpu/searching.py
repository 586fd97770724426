"""One search as a job runs it, beside a bare loop of forward passes and input gradients of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.gpu.modes import Mode
from benchmarks.gpu.networks import Network
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.network import SearchNetwork, search_network
from hardset.pipeline.attacks.search import SearchOutcome, SearchRows
from hardset.pipeline.judging.judge import deterministic
from hardset.schemas.job.recipes import Attack

EPS, STEP = "8/255", "2/255"


@dataclass(frozen=True)
class Searcher:
    """A network made ready in one mode, and rows on the device that it classifies as they are labelled."""

    engine: Engine
    network: SearchNetwork
    pixels: Tensor
    """uint8 (N, 3, H, W)."""
    labels: Tensor
    """int64 (N,): the network's own predictions."""
    classes: int

    @staticmethod
    def of(network: Network, mode: Mode, batch: int, rows: NDArray[np.uint8], device: torch.device) -> Searcher:
        """The engine with `batch` slots on `rows` (N, H, W, 3)."""
        module = network.module(device)
        search = search_network(module, precision=mode.precision, compile=mode.compile, device=device)
        engine = Engine(module, batch, device, () if search.exact else (search,))
        pixels = torch.from_numpy(rows).permute(0, 3, 1, 2).contiguous().to(device)
        labels = engine.logits(pixels.float() / 255).argmax(1)
        return Searcher(engine, search, pixels, labels, network.classes)

    def run(self, steps: int, stop: Literal["success", "never"]) -> SearchOutcome:
        """PGD, Linf 8/255 in steps of 2/255, from a random start, on all rows."""
        spec = Attack(name="pgd", eps=EPS, step_size=STEP, steps=steps, stop=stop).resolved()
        (stage,) = stages_of(spec, self.classes)
        count, geometry = len(self.labels), stage.search.geometry
        eps = np.full(count, float(spec.eps))
        rows = SearchRows(
            pixels=self.pixels,
            labels=self.labels,
            targets=torch.full_like(self.labels, -1)[:, None],
            seeds=torch.from_numpy(np.random.default_rng(0).integers(0, 2**63, count)).to(self.labels.device),
            radius=geometry.radius(eps),
            budget=geometry.budget(eps),
            step_size=np.full(count, float(spec.step_size)),
        )
        return self.engine.run(stage.search, rows)

    def bare(self, steps: int) -> Tensor:
        """As many forward passes and gradients to the images as PGD takes steps on all rows, and nothing else."""
        images, batch = self.pixels.float() / 255, self.engine.batch
        for _ in range(steps):
            for part, labels in zip(images.split(batch), self.labels.split(batch), strict=True):
                point = part.clone().requires_grad_(True)
                loss = F.cross_entropy(self.network.forward(point), labels, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, point)
        return gradient

    def bare_alike(self, steps: int) -> Tensor:
        """`bare` with the kernels that a search is held to, those that give the same bits twice."""
        with deterministic(self.pixels.device):
            return self.bare(steps)
