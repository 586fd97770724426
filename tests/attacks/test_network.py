"""The search's copy of a model: the same answers and gradients, whatever the model does; the model untouched."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardset.pipeline.attacks.network import SearchNetwork, search_network
from hardset.pipeline.models import zoo
from hardset.pipeline.models.ensemble import Ensemble
from hardset.pipeline.models.normalise import Normalised
from hardset.schemas.job.job import Normalize

CPU = torch.device("cpu")
STATISTICS = Normalize(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def lively(module: nn.Module) -> nn.Module:
    """With batch statistics as training leaves them: none of them trivial."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    return module.eval()


class Branching(nn.Module):
    """Goes one way or the other by the values that it sees, which no tracer can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.body = zoo.small_cnn(channels=3)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.body(images)
        return logits * 2 if logits.mean() > 0 else logits * 3


class Shared(nn.Module):
    """One convolution before two normalisations, whose output is used elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        features = self.one(features) + features
        features = self.two(self.conv(features))
        return self.linear(features.mean((2, 3)) + self.conv.bias)


class Float32Only(nn.Module):
    """Refuses any other precision at its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = zoo.small_cnn(channels=3)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.body(images)
        if logits.dtype != torch.float32:
            raise TypeError("float32 only")
        return logits


class OwnWeights(nn.Module):
    """Uses parameters of its own in a function that mixes no precisions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3 * 64) / 10)

    def forward(self, images: Tensor) -> Tensor:
        return F.linear(images.flatten(1), self.weight)


class Uncopyable(nn.Module):
    """Holds what deepcopy refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.body = zoo.small_cnn(channels=3)
        self.stream = (number for number in range(3))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


class Noisy(nn.Module):
    """Defends itself by noise of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.body = zoo.small_cnn(channels=3)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images + 0.1 * torch.randn(1, 3, 8, 8))


MODULES = {
    "normalised": lambda: Normalised(zoo.small_cnn(channels=3), STATISTICS),
    "residual": zoo.cifar_resnet20,
    "without batch norms": lambda: zoo.cnn_a(side=8),
    "ensemble": lambda: Ensemble([Normalised(zoo.small_cnn(channels=3), STATISTICS), zoo.small_cnn(channels=3)]),
    "branching": Branching,
    "shared": Shared,
    "uncopyable": Uncopyable,
    "attention": lambda: nn.Sequential(
        nn.Conv2d(3, 16, 4, 4), nn.Flatten(2), nn.LayerNorm(4), nn.Linear(4, 8),
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(128, 5),
    ),
}  # fmt: skip


@pytest.fixture(params=MODULES, ids=str)
def module(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    return lively(MODULES[request.param]())


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def network(module: nn.Module, precision: str = "float32", *, compile: bool = False) -> SearchNetwork:
    return search_network(module, precision=precision, compile=compile, device=CPU)


def answer(forward, images: Tensor) -> tuple[Tensor, Tensor]:
    point = images.clone().requires_grad_(True)
    logits = forward(point)
    labels = torch.arange(len(images)) % logits.shape[1]
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), point)
    return logits.detach(), gradient


def cosine(one: Tensor, other: Tensor) -> Tensor:
    return F.cosine_similarity(one.flatten(1), other.flatten(1))


def test_float32_copy_answers_as_the_module(module: nn.Module, images: Tensor) -> None:
    logits, gradient = answer(network(module).forward, images)
    expected, slope = answer(module, images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, slope, rtol=1e-3, atol=1e-5 * float(slope.abs().max()) + 1e-7)


def test_bfloat16_copy_answers_nearly_as_the_module(module: nn.Module, images: Tensor) -> None:
    searched = network(module, "bfloat16")
    logits, gradient = answer(searched.forward, images)
    expected, slope = answer(module, images)
    assert logits.dtype == gradient.dtype == torch.float32
    assert not searched.exact
    assert searched.note.startswith("bfloat16")
    assert not torch.equal(logits, expected), "the search copy is not in bfloat16 at all"
    assert float((logits - expected).abs().max()) < 0.05 * float(expected.abs().max())
    top = expected.topk(2).values
    clear = top[:, 0] - top[:, 1] > 0.1 * expected.abs().max()
    assert torch.equal(logits.argmax(1)[clear], expected.argmax(1)[clear])
    assert float(cosine(gradient, slope).min()) > 0.97


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_module_is_left_as_it_was(module: nn.Module, images: Tensor, precision: str) -> None:
    def state() -> list[tuple]:
        flags = [(name, part.training, len(part._forward_pre_hooks)) for name, part in module.named_modules()]
        tensors = [*module.named_parameters(), *module.named_buffers()]
        return flags + [(name, t.dtype, t.stride(), t.requires_grad, t.grad is None, id(t)) for name, t in tensors]

    for number, part in enumerate(module.modules()):
        if not isinstance(part, nn.BatchNorm2d):
            part.training = bool(number % 2) and not isinstance(part, nn.Dropout | nn.TransformerEncoderLayer)
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number % 3 > 0)
    before = state()
    values = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    answer(network(module, precision).forward, images)
    assert state() == before
    assert all(torch.equal(tensor, values[name]) for name, tensor in module.state_dict().items())


def test_normalisations_are_folded_where_they_can_be(images: Tensor) -> None:
    assert network(lively(zoo.cifar_resnet20())).note == "float32, batch norms folded"
    assert network(lively(Shared())).note == "float32"
    assert network(lively(Branching())).note == "float32"


def test_the_module_itself_is_exact(images: Tensor) -> None:
    module = zoo.cnn_a(side=8).eval()
    searched = network(module)
    assert searched.exact
    assert torch.equal(searched.forward(images), module(images))
    assert not network(lively(zoo.small_cnn(channels=3))).exact


def test_normalisation_stays_float32(images: Tensor) -> None:
    class Whitened(nn.Module):
        """A normalisation of the user's own, which magnifies what bfloat16 images would have lost."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((3, 1, 1), 0.8))
            self.convolution = nn.Conv2d(3, 4, 8)

        def forward(self, images: Tensor) -> Tensor:
            return self.convolution((images - self.mean) / 0.01).flatten(1)

    torch.manual_seed(0)
    module, near = Whitened().eval(), 0.8 + (images - 0.5) / 50
    with torch.no_grad():
        logits, expected = network(module, "bfloat16").forward(near), module(near)
    assert float((logits - expected).abs().max()) < 0.01 * float(expected.abs().max())
    coarse = module(near.bfloat16().float()).detach()
    assert float((coarse - expected).abs().max()) > 0.05 * float(expected.abs().max())


@pytest.mark.parametrize(("make", "note"), [(OwnWeights, "bfloat16 by autocast"), (Float32Only, "float32")])
def test_modules_that_refuse_bfloat16_run_otherwise_with_one_warning(make, note: str, images: Tensor) -> None:
    torch.manual_seed(3)
    module = lively(make())
    searched = network(module, "bfloat16")
    with pytest.warns(RuntimeWarning, match="bfloat16") as caught:
        for _ in range(3):
            logits, _ = answer(searched.forward, images)
    assert len(caught) == 1
    assert searched.note == note
    torch.testing.assert_close(logits, module(images), rtol=0.02, atol=0.02)


def test_a_copy_that_answers_otherwise_is_not_used(images: Tensor) -> None:
    class Counts(nn.Module):
        """Has a way of its own with the precision that it is given."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(192, 5)

        def forward(self, images: Tensor) -> Tensor:
            logits = self.linear(images.flatten(1))
            return logits if logits.dtype == torch.float32 else -logits

    module = Counts().eval()
    searched = network(module, "bfloat16")
    with pytest.warns(RuntimeWarning, match="its logits differ"):
        logits, _ = answer(searched.forward, images)
    assert torch.equal(logits, module(images))
    assert searched.note == "float32"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_random_models_stay_random_and_the_trial_draws_nothing(images: Tensor, precision: str) -> None:
    module = lively(Noisy())
    forwards = [network(module, precision).forward for _ in range(2)]
    forwards[0](images)
    answers = []
    for forward in forwards:
        torch.manual_seed(0)
        answers.append([forward(images) for _ in range(2)])
    tried, fresh = answers
    assert torch.equal(tried[0], fresh[0])
    assert torch.equal(tried[1], fresh[1])
    assert not torch.equal(tried[0], tried[1])


def test_not_finite_rows_do_not_decide(images: Tensor) -> None:
    module = lively(zoo.small_cnn(channels=3))
    images[2] = torch.nan
    searched = network(module, "bfloat16")
    logits = searched.forward(images)
    assert searched.note == "bfloat16, batch norms folded"
    assert torch.equal(logits.isfinite().all(dim=1), module(images).isfinite().all(dim=1))


def test_scores_without_gradient(images: Tensor) -> None:
    module = lively(zoo.small_cnn(channels=3))
    with torch.no_grad():
        logits = network(module, "bfloat16").forward(images)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, module(images).detach(), rtol=0.05, atol=0.05)


def test_failed_compilation_warns_once_and_runs_eagerly(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(forward, **_settings):
        def fails(_images: Tensor) -> Tensor:
            raise RuntimeError("no C++ compiler\nand much more")

        return fails

    monkeypatch.setattr(torch, "compile", compile)
    module = lively(zoo.small_cnn(channels=3))
    searched = network(module, "bfloat16", compile=True)
    with pytest.warns(RuntimeWarning, match=r"no C\+\+ compiler\), so the search runs uncompiled") as caught:
        for _ in range(3):
            logits, _ = answer(searched.forward, images)
    assert len(caught) == 1
    assert searched.note == "bfloat16, batch norms folded"
    assert torch.equal(logits, answer(network(module, "bfloat16").forward, images)[0])


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: zoo.small_cnn(channels=3), Branching])
def test_compiled(make, images: Tensor) -> None:
    torch.manual_seed(1)
    module = lively(make())
    before = copy.deepcopy(module.state_dict())
    searched = network(module, "bfloat16", compile=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        logits, gradient = answer(searched.forward, images)
    expected, slope = answer(network(module, "bfloat16").forward, images)
    assert searched.note.endswith(", compiled")
    assert float((logits - expected).abs().max()) < 0.02 * float(expected.abs().max())
    assert float(cosine(gradient, slope).min()) > 0.999
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
