"""How good generated rows are, in the features of a classifier: distance, fidelity, diversity, memorisation.

Fréchet distance (Heusel et al. 2017) is called fd_target here, because the features are those of the model under
attack and not of Inception. Precision and recall: Kynkäänniemi et al. 2019; density and coverage: Naeem et al. 2020;
authenticity: Alaa et al. 2022. Label agreement and precision are near 1 even for a collapsed generator: read recall
and coverage first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEAREST = 5


@dataclass(frozen=True)
class Quality:
    """Figures of a set of generated rows against real ones."""

    fd_target: float
    precision: float
    recall: float
    density: float
    coverage: float
    authenticity: float
    """Share of generated rows that are farther from their nearest training row than that row is from its own."""


def quality(real: Tensor, generated: Tensor, *, nearest: int = NEAREST) -> Quality:
    """Compares features, float (N, D) each, in float64."""
    real, generated = real.double(), generated.double()
    across = torch.cdist(generated, real)
    among_real, among_generated = torch.cdist(real, real), torch.cdist(generated, generated)
    real_radius = among_real.kthvalue(nearest + 1).values
    generated_radius = among_generated.kthvalue(nearest + 1).values
    inside = across <= real_radius
    closest = across.min(1)
    own_distance = among_real.kthvalue(2).values[closest.indices]
    return Quality(
        fd_target=frechet_distance(real, generated),
        precision=inside.any(1).double().mean().item(),
        recall=(across <= generated_radius[:, None]).any(0).double().mean().item(),
        density=inside.double().sum(1).mean().item() / nearest,
        coverage=inside.any(0).double().mean().item(),
        authenticity=(closest.values > own_distance).double().mean().item(),
    )


def frechet_distance(left: Tensor, right: Tensor) -> float:
    """Squared Fréchet distance between the normal distributions fitted to two feature sets, (N, D) each."""
    gap = left.mean(0) - right.mean(0)
    first, second = torch.cov(left.T), torch.cov(right.T)
    # The trace of sqrt(first @ second) is that of a symmetric matrix with the same eigenvalues.
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float((gap @ gap + first.trace() + second.trace() - 2 * cross).clamp(min=0))
