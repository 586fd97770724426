"""Quality of generated rows in a classifier's feature space: distance, fidelity, diversity, memorisation.

The Fréchet distance (Heusel et al. 2017) is called fd_target here because the features come from the model under
attack instead of Inception. Precision and recall: Kynkäänniemi et al. 2019; density and coverage: Naeem et al. 2020;
authenticity: Alaa et al. 2022. Label agreement and precision are near 1 even for a collapsed generator: read recall
and coverage first. All pairwise distances are held in memory, which suits up to about 10,000 rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEAREST = 5
"""Number of nearest neighbours that define a row's neighbourhood."""


@dataclass(frozen=True)
class Quality:
    """Figures of generated rows against real rows held out of training."""

    fd_target: float
    """Squared Fréchet distance, in squared units of the features; 0 is best."""
    fd_floor: float
    """Squared Fréchet distance of the training rows instead of the generated ones: the best reachable value."""
    precision: float
    """Share of generated rows inside the neighbourhood of a real row."""
    recall: float
    """Share of real rows inside the neighbourhood of a generated row."""
    density: float
    """Mean number of real neighbourhoods that contain a generated row, divided by `NEAREST`; about 1 for real rows."""
    coverage: float
    """Share of real rows with a generated row in their neighbourhood."""
    authenticity: float
    """Share of generated rows that are not near copies of training rows."""


def quality(real: Tensor, generated: Tensor, training: Tensor, *, nearest: int = NEAREST) -> Quality:
    """Compares feature sets, float (N, D) with more than `nearest` rows each, in float64. `real`: held-out rows."""
    real, generated, training = real.double(), generated.double(), training.double()
    across = torch.cdist(generated, real)
    real_radius, generated_radius = _radius(real, nearest), _radius(generated, nearest)
    inside = across <= real_radius
    return Quality(
        fd_target=frechet_distance(real, generated),
        fd_floor=frechet_distance(real, training),
        precision=_share(inside.any(1)),
        recall=_share((across <= generated_radius[:, None]).any(0)),
        density=inside.double().sum(1).mean().item() / nearest,
        coverage=_share(inside.any(0)),
        authenticity=authenticity(training, generated),
    )


def frechet_distance(left: Tensor, right: Tensor) -> float:
    """Squared Fréchet distance between the normal distributions fitted to two feature sets, float64 (N, D) each."""
    gap = left.mean(0) - right.mean(0)
    first, second = torch.cov(left.T), torch.cov(right.T)
    # The trace of sqrt(first @ second) equals that of a symmetric matrix with the same eigenvalues.
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float((gap @ gap + first.trace() + second.trace() - 2 * cross).clamp(min=0))


def authenticity(training: Tensor, generated: Tensor) -> float:
    """Share of generated rows farther from their nearest training row than that row is from its own nearest.

    Features are float64 (N, D) each. Copies of training rows give 0.
    """
    closest = torch.cdist(generated, training).min(1)
    return _share(closest.values > _radius(training, 1)[closest.indices])


def _radius(rows: Tensor, nearest: int) -> Tensor:
    """Distance of each row to its `nearest`-th nearest neighbour, (N,)."""
    among = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    return among.kthvalue(nearest).values


def _share(yes: Tensor) -> float:
    return yes.double().mean().item()
