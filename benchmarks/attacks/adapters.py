"""One function per library: images and labels in, the library's adversarial images out.

Every call sets step size and number of steps, so all libraries use the same values; each keeps its own loop, dtype and
choice of which iterate to return. Models are passed unchanged: none of the libraries freezes parameters.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from benchmarks.attacks.cases import Settings
from torch import Tensor, nn

Attack = Callable[[Tensor, Tensor], Tensor]
"""(float32 images (N, C, H, W) in [0, 1], int64 labels (N,)) -> images of the same shape."""


@dataclass(frozen=True)
class Library:
    """One library: its name and how to build its attacks."""

    name: str
    package: str
    """Name on the package index."""
    make: Callable[[nn.Module, Settings, int, tuple[int, ...]], Attack | None]
    """(model, settings, classes, image shape) -> attack on one batch; None if the library lacks the attack."""

    @property
    def version(self) -> str | None:
        """Installed version; None if the library is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def attack(self, model: nn.Module, settings: Settings, classes: int, shape: tuple[int, ...]) -> Attack | None:
        """Attack on any number of rows, in batches; each restart attacks only rows not yet misclassified."""
        one_batch = self.make(model, settings, classes, shape)
        if one_batch is None:
            return None
        once = _in_batches(one_batch, settings.batch)
        return once if settings.restarts == 1 else _restarted(once, model, settings)


def _in_batches(attack: Attack, size: int) -> Attack:
    def run(images: Tensor, labels: Tensor) -> Tensor:
        parts = zip(images.split(size), labels.split(size), strict=True)
        return torch.cat([attack(*part).detach() for part in parts])

    return run


def _restarted(attack: Attack, model: nn.Module, settings: Settings) -> Attack:
    """Restarts as the libraries' own wrappers do: only on rows that are still classified correctly."""

    def run(images: Tensor, labels: Tensor) -> Tensor:
        results, resists = images.clone(), torch.ones_like(labels, dtype=torch.bool)
        for _ in range(settings.restarts):
            index = resists.nonzero().squeeze(1)
            if not len(index):
                break
            results[index] = attack(images[index], labels[index])
            with torch.no_grad():
                logits = torch.cat([model(part) for part in results[index].split(settings.batch)])
            resists[index] = logits.argmax(1) == labels[index]
        return results

    return run


def _torchattacks(model: nn.Module, settings: Settings, classes: int, shape: tuple[int, ...]) -> Attack:
    library = importlib.import_module("torchattacks")
    eps, step = float(settings.eps), float(settings.step_size)
    if settings.attack == "fgsm":
        attack = library.FGSM(model, eps=eps)
    elif settings.attack == "pgd":
        attack = library.PGD(model, eps=eps, alpha=step, steps=settings.steps, random_start=True)
    else:
        attack = library.APGD(model, eps=eps, steps=settings.steps, n_restarts=1, seed=settings.start, loss="ce")
    return attack


def _foolbox(model: nn.Module, settings: Settings, classes: int, shape: tuple[int, ...]) -> Attack | None:
    if settings.attack == "apgd_ce":
        return None
    library = importlib.import_module("foolbox")
    wrapped = library.PyTorchModel(model, bounds=(0, 1))
    if settings.attack == "fgsm":
        attack = library.attacks.LinfFastGradientAttack(random_start=False)
    else:
        step = float(settings.step_size)
        attack = library.attacks.LinfPGD(abs_stepsize=step, steps=settings.steps, random_start=True)

    def run(images: Tensor, labels: Tensor) -> Tensor:
        _, clipped, _ = attack(wrapped, images, labels, epsilons=float(settings.eps))
        return clipped

    return run


def _art(model: nn.Module, settings: Settings, classes: int, shape: tuple[int, ...]) -> Attack:
    estimators = importlib.import_module("art.estimators.classification")
    evasion = importlib.import_module("art.attacks.evasion")
    estimator = estimators.PyTorchClassifier(
        model=model, loss=nn.CrossEntropyLoss(), input_shape=shape, nb_classes=classes, clip_values=(0.0, 1.0),
        device_type="cpu" if next(model.parameters()).device.type == "cpu" else "gpu",
    )  # fmt: skip
    eps, step, batch = float(settings.eps), float(settings.step_size), settings.batch
    if settings.attack == "fgsm":
        attack = evasion.FastGradientMethod(estimator, eps=eps, eps_step=eps, batch_size=batch)
    elif settings.attack == "pgd":
        attack = evasion.ProjectedGradientDescent(
            estimator, eps=eps, eps_step=step, max_iter=settings.steps, num_random_init=1, batch_size=batch,
            verbose=False,
        )  # fmt: skip
    else:
        attack = evasion.AutoProjectedGradientDescent(
            estimator, eps=eps, eps_step=step, max_iter=settings.steps, nb_random_init=1, batch_size=batch,
            loss_type="cross_entropy", verbose=False,
        )  # fmt: skip

    def run(images: Tensor, labels: Tensor) -> Tensor:
        made = attack.generate(images.cpu().numpy(), np.eye(classes, dtype=np.float32)[labels.cpu().numpy()])
        return torch.from_numpy(np.ascontiguousarray(made)).to(images)

    return run


def _adv_lib(model: nn.Module, settings: Settings, classes: int, shape: tuple[int, ...]) -> Attack | None:
    if settings.attack == "fgsm":
        return None
    with stand_ins("visdom", "torchvision"):
        attacks = importlib.import_module("adv_lib.attacks")
    eps, step, steps = float(settings.eps), float(settings.step_size), settings.steps
    if settings.attack == "pgd":
        # The library never evaluates its last iterate, so one extra step makes the number of useful steps equal.
        return lambda images, labels: attacks.pgd_linf(
            model, images, labels, ε=eps, steps=steps + 1, absolute_step_size=step
        )
    return lambda images, labels: attacks.apgd(
        model, images, labels, eps, norm=float("inf"), n_iter=steps, loss_function="ce"
    )


@contextmanager
def stand_ins(*names: str) -> Iterator[None]:
    """Stand-in modules for imports of adv-lib 0.2.8 that fail here and that none of these attacks uses.

    torchvision wheels from the package index need the CUDA build of torch; visdom is a web server.
    """
    missing = []
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, RuntimeError):
            missing.append(name)
            for part in [part for part in sys.modules if part == name or part.startswith(f"{name}.")]:
                del sys.modules[part]
            stand_in = types.ModuleType(name)
            stand_in.models = None  # type: ignore[attr-defined]
            sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


LIBRARIES: Mapping[str, Library] = {
    library.name: library
    for library in (
        Library("torchattacks", "torchattacks", _torchattacks),
        Library("foolbox", "foolbox", _foolbox),
        Library("ART", "adversarial-robustness-toolbox", _art),
        Library("adv-lib", "adv-lib", _adv_lib),
    )
}
"""Libraries by the name that the tables give them."""


def foolbox_many_eps(model: nn.Module, settings: Settings, eps: tuple[float, ...]) -> Attack:
    """foolbox's single call for several budgets; returns the images of the largest budget."""
    library = importlib.import_module("foolbox")
    wrapped = library.PyTorchModel(model, bounds=(0, 1))
    share = float(settings.step_size / settings.eps)
    attack = library.attacks.LinfPGD(rel_stepsize=share, steps=settings.steps, random_start=True)

    def one_batch(images: Tensor, labels: Tensor) -> Tensor:
        _, clipped, _ = attack(wrapped, images, labels, epsilons=list(eps))
        return clipped[-1]

    return _in_batches(one_batch, settings.batch)


def auto_attack(model: nn.Module, settings: Settings, classes: int) -> Attack:
    """torchattacks' port of AutoAttack standard: 101 + 909 + 900 gradients and 5,000 queries per robust row."""
    library = importlib.import_module("torchattacks")
    attack = library.AutoAttack(model, eps=float(settings.eps), version="standard", n_classes=classes, seed=0)
    return _in_batches(attack, settings.batch)
