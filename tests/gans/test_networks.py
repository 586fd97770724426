"""Networks: every size they promise, and a discriminator that sees the image as a whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from hardset.pipeline.gans.networks import ConditionalNorm, DiscriminatorNet, GeneratorNet, doublings
from hardset.pipeline.gans.shape import Shape

SIDES = [(8, 8), (9, 11), (12, 20), (15, 15), (16, 16), (28, 28), (31, 33), (32, 32), (64, 64), (96, 96), (8, 128)]


@pytest.mark.parametrize("sides", [*SIDES, (127, 128)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_make_and_take_every_side_they_promise(sides: tuple[int, int], channels: int) -> None:
    shape = Shape(4, *sides, channels, latent=5, features=8)
    classes = torch.tensor([0, 3])
    images = GeneratorNet(shape)(torch.randn(2, 5), classes)
    assert images.shape == (2, channels, *sides) and images.min() >= 0 and images.max() <= 1
    for spectral in (False, True):
        assert DiscriminatorNet(shape, spectral=spectral)(images, classes).shape == (2,)


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_the_score_depends_on_every_pixel_and_not_on_patches_alone(sides: tuple[int, int]) -> None:
    """A sum over patches has no mixed second derivative of opposite corners."""
    torch.manual_seed(0)
    net = DiscriminatorNet(Shape(4, *sides, 1, latent=5, features=16), spectral=False)
    net.body = nn.Sequential(*(nn.Softplus() if isinstance(part, nn.LeakyReLU) else part for part in net.body))
    image, classes = torch.rand(1, 1, *sides, requires_grad=True), torch.tensor([1])
    features = nn.functional.softplus(net.whole(net.body(image * 2 - 1).flatten(1)))
    (slopes,) = torch.autograd.grad(features.square().sum(), image, create_graph=True)
    (mixed,) = torch.autograd.grad(slopes[0, 0, 0, 0], image)
    assert mixed[0, 0, -1, -1] != 0
    (slopes,) = torch.autograd.grad(net(image, classes), image)
    assert (slopes != 0).all()


def test_every_weight_of_a_spectral_discriminator_is_normalised() -> None:
    net = DiscriminatorNet(Shape(4, 16, 16, 3, latent=5, features=8), spectral=True)
    weighted = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(weighted) == 6 and all(is_parametrized(layer, "weight") for layer in weighted)
    for _ in range(60):
        net(torch.rand(2, 3, 16, 16), torch.tensor([0, 1]))
    for layer in weighted:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


def test_other_discriminators_are_not() -> None:
    net = DiscriminatorNet(Shape(4, 16, 16, 3, latent=5, features=8), spectral=False)
    assert not any(is_parametrized(layer) for layer in net.modules())


def test_a_conditional_norm_starts_as_a_plain_one_and_each_class_has_its_own_gain_and_bias() -> None:
    images, classes = torch.randn(6, 4, 3, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    norm = ConditionalNorm(3, 4)
    plain = nn.functional.batch_norm(images, None, None, training=True)
    torch.testing.assert_close(norm(images, classes), plain)
    with torch.no_grad():
        norm.embed.weight[1] = torch.tensor([0.5] * 4 + [2.0] * 4)
    wanted = plain.clone()
    wanted[1::3] = plain[1::3] * 1.5 + 2
    torch.testing.assert_close(norm(images, classes), wanted)


@pytest.mark.parametrize(("side", "stages"), [(8, 1), (15, 1), (16, 2), (28, 2), (32, 3), (64, 4), (96, 4), (128, 5)])
def test_the_base_stays_between_4_and_8_pixels(side: int, stages: int) -> None:
    shape = Shape(4, side, 128, 1, latent=5, features=8)
    assert doublings(shape) == stages
    assert 4 <= GeneratorNet(shape).base[1] <= 8


@pytest.mark.parametrize(("height", "width", "channels"), [(7, 8, 1), (8, 129, 1), (8, 8, 2), (8, 8, 4)])
def test_shapes_beyond_them_are_refused(height: int, width: int, channels: int) -> None:
    with pytest.raises(ValueError, match="the GAN makes"):
        Shape(4, height, width, channels, 5, 8)
