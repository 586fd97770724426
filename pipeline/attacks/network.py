"""The model as the search runs it: as fast as the machine allows, with a gradient to the images alone.

The search works on a copy of the module: frozen, laid out channels_last, batch normalisations folded into the
convolutions before them, weights in bfloat16 where the job asks for it. Copies that fail, or that answer otherwise than
the module, are given up for plainer ones; the module itself is never changed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hardset.pipeline.attacks.folding import fold_batch_norms
from hardset.pipeline.compute.devices import is_out_of_memory
from hardset.pipeline.judging.judge import is_not_deterministic

Forward = Callable[[Tensor], Tensor]

_AGREEMENT = 0.2
"""Largest deviation of a copy's logits, as a share of the module's largest: bfloat16 reaches 0.03, wrong copies 1."""


@dataclass(frozen=True)
class SearchNetwork:
    """A model made ready for the search."""

    forward: Forward
    """Float32 images (S, C, H, W) in [0, 1] to float32 logits (S, K), differentiable to the images."""
    exact: bool
    """Whether it is the very module that judges, so that its verdicts need no confirmation."""
    describe: Callable[[], str]
    """Function that returns `note`, which is final after the first call of `forward`."""

    @property
    def note(self) -> str:
        """The way it runs, such as "bfloat16, batch norms folded, compiled"."""
        return self.describe()


def search_network(
    module: nn.Module, *, precision: Literal["float32", "bfloat16"], compile: bool, device: torch.device
) -> SearchNetwork:
    """The fastest way to run `module`, which stays as it is, bit for bit; in eval mode and on `device`.

    The first call tries it out on noise of its images' shape, so that no row has a say in the choice: a copy in
    bfloat16 that fails, or whose logits are not the module's, makes way for autocast and then for float32; a
    compilation that fails makes way for eager mode. Both warn, once.
    float32 without compilation or batch normalisations to fold is the module itself: then the network is `exact`.
    """
    ways = list(_ways(module, precision, device, copied=compile))
    if not compile and ways[0].forward is module:
        return SearchNetwork(_plain(module), exact=True, describe=lambda: "float32")
    trial = _Trial(module, ways, compiled=compile, device=device)
    return SearchNetwork(trial, exact=False, describe=lambda: trial.note)


@dataclass(frozen=True)
class _Way:
    """One way to run the module."""

    forward: Forward
    note: str


def _ways(
    module: nn.Module, precision: Literal["float32", "bfloat16"], device: torch.device, *, copied: bool
) -> Iterator[_Way]:
    """From the fastest to the module itself. `copied`: whether a frozen copy is worth it though nothing is folded."""
    frozen, folded = module, ""
    try:
        frozen, count = fold_batch_norms(module)
    except Exception:  # some modules cannot be copied: they hold handles, or tensors with a history
        copied = False
    else:
        frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        folded = ", batch norms folded" if count else ""
        if precision == "bfloat16":
            yield _Way(_bfloat16(copy.deepcopy(frozen)), f"bfloat16{folded}")
    if precision == "bfloat16":
        yield _Way(_autocast(frozen, device), f"bfloat16 by autocast{folded}")
    if folded or copied:
        yield _Way(frozen, f"float32{folded}")
    yield _Way(module, "float32")


def _plain(module: nn.Module) -> Forward:
    def forward(images: Tensor) -> Tensor:
        logits: Tensor = module(images)
        return logits.float()

    return forward


def _autocast(module: nn.Module, device: torch.device) -> Forward:
    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits: Tensor = module(images)
        return logits.float()

    return forward


def _bfloat16(module: nn.Module) -> nn.Module:
    """`module` with the weights of its layers in bfloat16, each casting what it is given.

    Whatever comes before the first layer, such as normalisation, therefore stays float32, as do buffers. Batch
    normalisations take bfloat16 as they are, with float32 statistics.
    """
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if own and not isinstance(layer, nn.modules.batchnorm._NormBase):
            for parameter in own:
                if parameter.is_floating_point():
                    parameter.data = parameter.data.to(torch.bfloat16)
            if any(kind.__module__.startswith("torch.nn.") for kind in type(layer).__mro__ if kind is not nn.Module):
                layer.register_forward_pre_hook(_cast)
    return module


def _cast(_layer: nn.Module, given: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(
        value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in given
    )


class _Trial:
    """Settles at the first call how the module is run, and then runs it so."""

    def __init__(self, module: nn.Module, ways: list[_Way], *, compiled: bool, device: torch.device) -> None:
        self._module, self._ways = module, ways
        self._compiled, self._device = compiled, device
        self._forward: Forward | None = None
        self.note = ways[0].note + (", compiled" if compiled else "")

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=_layout(images))
        if self._forward is None:
            self._forward = self._settled(_noise_like(images))
            self._ways = []
        return self._forward(images).float()

    def _settled(self, images: Tensor) -> Forward:
        """The first way that answers as the module does; compiled where asked for and possible."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            way = self._first(images)
            self.note = way.note
            if not self._compiled:
                return way.forward
            try:
                compiled = _compile(way.forward, self._device)
                _answer(compiled, images)
                with torch.no_grad():  # compiled for itself: the last iterate, and square's, are scored so
                    compiled(images)
            except Exception as error:  # whatever the compiler and its C++ toolchain raise
                if is_out_of_memory(error) or is_not_deterministic(error):
                    raise
                warnings.warn(
                    f"compile: torch.compile fails on this model ({_reason(error)}), so the search runs uncompiled; "
                    "set compile: false, or install what the message names",
                    RuntimeWarning,
                    stacklevel=4,
                )
                return way.forward
            self.note += ", compiled"
            return compiled

    def _first(self, images: Tensor) -> _Way:
        torch.manual_seed(0)
        with torch.no_grad():
            expected: Tensor = self._module(images).float()
        fault = ""
        for way in self._ways[:-1]:
            torch.manual_seed(0)
            try:
                if _agrees(_answer(way.forward, images), expected):
                    break
                fault = fault or "its logits differ"
            except Exception as error:  # whatever a user's module raises in another precision
                if is_out_of_memory(error) or is_not_deterministic(error):
                    raise  # says nothing of the way; it is tried again with fewer images, or other kernels
                fault = fault or _reason(error)
        else:
            way = self._ways[-1]
        if fault and way.note.partition(",")[0] != self._ways[0].note.partition(",")[0]:
            warnings.warn(
                f"precision: the model cannot be searched with bfloat16 weights ({fault}), so it runs in {way.note}",
                RuntimeWarning,
                stacklevel=5,
            )
        return way


def _noise_like(images: Tensor) -> Tensor:
    """Uniform values of one seed, in the layout of the images."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)).to(images.device)
    return noise.contiguous(memory_format=_layout(noise))


def _layout(images: Tensor) -> torch.memory_format:
    return torch.channels_last if images.dim() == 4 else torch.contiguous_format


def _answer(forward: Forward, images: Tensor) -> Tensor:
    """Logits, once their gradient to the images has come through as well."""
    with torch.enable_grad():
        images = images.clone().requires_grad_(True)
        logits = forward(images).float()
        torch.autograd.grad(logits.sum(), images, allow_unused=True)
    return logits.detach()


def _agrees(logits: Tensor, expected: Tensor) -> bool:
    if logits.shape != expected.shape:
        return False
    known = expected.isfinite()
    if not bool(known.any()):
        return True
    deviation = torch.where(known, logits - expected, 0).abs().amax()
    return bool(deviation <= _AGREEMENT * expected[known].abs().amax())


def _compile(forward: Forward, device: torch.device) -> Forward:
    """Compiled for one shape. On CUDA in graphs, whose outputs the next run overwrites: so they are copied out."""
    if device.type != "cuda":
        compiled: Forward = torch.compile(forward, dynamic=False)
        return compiled
    graphed: Forward = torch.compile(forward, dynamic=False, mode="reduce-overhead")

    def copied(images: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if images.requires_grad:
            images = images.clone()
            images.register_hook(torch.clone)  # type: ignore[no-untyped-call]
        return graphed(images).clone()

    return copied


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
