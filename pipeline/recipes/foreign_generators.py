"""Generators that hardset did not train: by format, what reads them, and one face for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hardset.pipeline.compute import rng
from hardset.pipeline.gans.generator import Generator, Output
from hardset.pipeline.gans.recipe import drawn
from hardset.pipeline.models.factory import build
from hardset.pipeline.models.keras_models import read_model
from hardset.pipeline.models.programs import load_export, load_torchscript
from hardset.pipeline.models.weights import read_weights
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Network
from hardset.schemas.job.recipes import GeneratorFile

_TRIED = 8
"""Number of rows that a generator is tried on."""
_ROUNDING = 1e-3
"""Share of the range by which values may leave it."""
_SHAPES = (1, 3)
_NOT_FIXING = {"weights", "training", "trust", "sha256"}
"""Settings that do not affect what a generator makes; the digest of its weights does."""


class Foreign(nn.Module):
    """Another's module: latents (N, latent), classes and keys (N,) to images (N, C, H, W), black 0 and white 1."""

    def __init__(self, module: nn.Module, spec: GeneratorFile, *, channels_last: bool, program: bool) -> None:
        super().__init__()
        self.module = module
        self.is_program = program
        self._channels_last, self._conditional = channels_last, spec.conditional
        self.black, self._span = spec.range[0], spec.range[1] - spec.range[0]

    def forward(self, latents: Tensor, classes: Tensor, keys: Tensor) -> Tensor:
        """Images, float32."""
        sample = getattr(self.module, "sample", None)
        if callable(sample):
            images = sample(latents, classes, Noise(keys))
        else:
            images = self.module(latents, classes) if self._conditional else self.module(latents)
        if not isinstance(images, Tensor):
            raise TypeError(f"it returns a {type(images).__name__}; wants one tensor of images")
        scaled: Tensor = (images.float() - self.black) / self._span
        return scaled.permute(0, 3, 1, 2) if self._channels_last and scaled.dim() == 4 else scaled

    def level(self, value: float) -> float:
        """What the module itself gave for a value of the images."""
        return self.black + self._span * value


class Noise:
    """Further noise of rows, standard normal: each call is the next draw, and each row's is its own key's."""

    def __init__(self, keys: Tensor) -> None:
        self._keys, self._step = keys, 0

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        """Float32 (N, *shape)."""
        self._step += 1
        return rng.normal(self._keys, rng.Draw.LATENT, tuple(shape), step=self._step)


def _factory(data: bytes, spec: GeneratorFile, at: str) -> nn.Module:
    module = build(Network(factory=spec.factory, arguments=spec.arguments), at=at)
    state, _ = read_weights(spec.weights, at=at)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise JobError(f"{at}.weights: are not those of {spec.factory}: {one_line(error)}") from None
    return module


class _Keras(nn.Module):
    """A Keras model in inference mode."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        """What the model returns for latents, and classes where it takes them."""
        return self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)


FORMATS: dict[str, Callable[[bytes, GeneratorFile, str], nn.Module]] = {
    "factory": _factory,
    "keras": lambda data, spec, at: _Keras(read_model(data, spec.weights, at)),
    "torchscript": lambda data, spec, at: load_torchscript(data, spec.weights, at).network,
    "export": lambda data, spec, at: load_export(data, spec.weights, at).network,
}
"""All formats beside hardset's own: (content of the file, declaration, its key in the job) to a module."""
_PROGRAMS = ("torchscript", "export")


def foreign_generator(data: bytes, sha256: str, spec: GeneratorFile, at: str) -> Generator:
    """The generator that a job declares, tried on a few rows. `at`: its key in the job.

    Raises JobError, in one sentence, where it cannot be built, fails, or makes anything but images in its range that
    depend on their own latents and classes alone.
    """
    assert spec.latent is not None
    if spec.sha256 is not None and spec.sha256 != sha256:
        raise JobError(f"{at}.sha256: the file has {sha256}, the job names {spec.sha256}")
    module = FORMATS[spec.format](data, spec, at)
    if spec.format not in _PROGRAMS:
        module.eval().requires_grad_(False)
    net = Foreign(module, spec, channels_last=spec.format == "keras", program=spec.format in _PROGRAMS)
    fixing = digest([spec.model_dump(mode="json", exclude=_NOT_FIXING), sha256])
    generator = Generator(net, Output(spec.latent, 0, 0, 0), fixing, spec.law == "uniform", takes_keys=True)
    _, channels, height, width = _tried(generator, net, at).shape
    return Generator(net, Output(spec.latent, height, width, channels), fixing, spec.law == "uniform", takes_keys=True)


def _tried(generator: Generator, net: Foreign, at: str) -> Tensor:
    """Images of a few latents, as the network makes them. Raises JobError as `foreign_generator`."""
    keys = torch.arange(1, _TRIED + 1)
    classes = torch.arange(_TRIED) % 2
    try:
        with torch.no_grad():
            images: Tensor = net(*drawn(generator, keys, classes))
            others = torch.where(torch.arange(_TRIED) == 0, keys, keys + 100)
            again = net(*drawn(generator, others, classes))
    except Exception as error:  # the generator is another's code
        raise JobError(
            f"{at}: the generator fails on {_TRIED} latents: {type(error).__name__}: {one_line(error)}; check latent, "
            "conditional, and that it takes any number of rows"
        ) from error
    shape = tuple(images.shape)
    if images.dim() != 4 or len(images) != _TRIED or shape[1] not in _SHAPES:
        raise JobError(f"{at}: the generator makes {shape} from {_TRIED} latents; wants images N x C x H x W, C 1 or 3")
    if not images.isfinite().all():
        raise JobError(f"{at}: the generator makes NaN or infinite values")
    low, high = float(images.min()), float(images.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        level = net.level
        raise JobError(
            f"{at}.range: the generator makes values from {level(low):.3g} to {level(high):.3g}, outside "
            f"[{level(0):g}, {level(1):g}]; say what black and white are, such as [-1, 1]"
        )
    if not torch.equal(images[0], again[0]):
        raise JobError(
            f"{at}: an image of the generator depends on its neighbours in the batch, or on chance of its own; use the "
            "statistics of batch norms that training has gathered, and draw noise by sample(z, y, noise)"
        )
    return images
