"""The quality figures against closed forms, brute force, and sets whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardset.pipeline.gans.assessment import assess, penultimate
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.quality import authenticity, frechet_distance, quality


def normal(rows: int, size: int, seed: int) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean: list[float], covariance: Tensor, seed: int) -> Tensor:
    """Rows whose sample mean and covariance are exactly these."""
    rows = normal(200, len(mean), seed)
    rows = rows - rows.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(rows.T)), rows.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + torch.tensor(mean, dtype=torch.float64)


def test_frechet_distance_has_the_closed_form_of_two_gaussians() -> None:
    first = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
    second = torch.tensor([[0.3, -0.2], [-0.2, 1.7]], dtype=torch.float64)
    # For 2 x 2 matrices, tr sqrt(P) = sqrt(tr P + 2 sqrt(det P)).
    product = first @ second
    cross = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))
    expected = (3 - 1) ** 2 + (1 + 2) ** 2 + first.trace() + second.trace() - 2 * cross
    found = frechet_distance(with_moments([1, -2], first, 0), with_moments([3, 1], second, 1))
    assert found == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_distance_of_one_set_to_itself_is_zero_even_if_it_is_flat() -> None:
    flat = normal(30, 3, 0) @ normal(3, 50, 1)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-6)


def by_hand(real: Tensor, generated: Tensor, nearest: int) -> tuple[float, float, float, float]:
    def radius(rows: Tensor, i: int) -> float:
        return sorted(math.dist(rows[i], rows[j]) for j in range(len(rows)) if j != i)[nearest - 1]

    inside = [[math.dist(g, r) <= radius(real, i) for i, r in enumerate(real)] for g in generated]
    reached = [any(math.dist(g, r) <= radius(generated, j) for j, g in enumerate(generated)) for r in real]
    return (
        float(np.mean([any(row) for row in inside])),
        float(np.mean(reached)),
        float(np.sum(inside) / nearest / len(generated)),
        float(np.mean([any(row[i] for row in inside) for i in range(len(real))])),
    )


@pytest.mark.parametrize("shift", [0.0, 0.8, 3.0])
def test_precision_recall_density_coverage_are_those_of_their_definitions(shift: float) -> None:
    real, generated = normal(40, 3, 0), 0.7 * normal(25, 3, 1) + shift
    found = quality(real, generated, normal(30, 3, 2), nearest=4)
    expected = by_hand(real, generated, 4)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


def test_a_collapsed_generator_shows_in_recall_and_coverage_only() -> None:
    real, training = normal(300, 4, 0), normal(300, 4, 1)
    collapsed = 0.01 * normal(300, 4, 2)
    found = quality(real, collapsed, training)
    assert found.precision == 1.0 and found.recall < 0.02 and found.coverage < 0.2
    assert found.fd_target > 10 * found.fd_floor


def test_rows_of_the_same_kind_score_as_real_ones_do() -> None:
    found = quality(normal(500, 4, 0), normal(500, 4, 1), normal(500, 4, 2))
    assert found.precision > 0.9 and found.recall > 0.9 and found.coverage > 0.9
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.fd_target == pytest.approx(found.fd_floor, abs=0.1)


def test_copied_images_are_not_authentic() -> None:
    training = normal(200, 5, 0)
    assert authenticity(training, training[torch.arange(100) % 7]) == 0.0
    assert authenticity(training, training + 1e-6) == 0.0
    assert authenticity(training, normal(100, 5, 1) + 100) == 1.0
    assert 0.3 < authenticity(training, normal(200, 5, 2)) < 0.8


def test_penultimate_features_are_what_the_last_linear_layer_takes_in() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())
    module = nn.Sequential(body, nn.Linear(12, 3)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8)
    features, logits = penultimate(module, pixels, device=torch.device("cpu"))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(features, body(images).detach())
    torch.testing.assert_close(logits, module(images).detach())
    assert all(not layer._forward_pre_hooks for layer in module.modules())


def test_an_assessment_says_how_many_rows_are_of_the_class_asked_for(generator: Generator) -> None:
    class Always(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack((images.mean((1, 2, 3)) + 9, images[:, 0, 0, 0], images[:, 0, 0, 1]), dim=1)

    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
    found = assess(generator, Always(), held_out=pixels[:25], training=pixels[25:], rows=90, device=torch.device("cpu"))
    assert found["label_agreement"] == pytest.approx(1 / 3)
    assert found.keys() > {"fd_target", "fd_floor", "recall", "coverage", "authenticity"}
