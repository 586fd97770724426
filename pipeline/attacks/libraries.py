"""Attacks of other libraries, and functions of a user's own: found by name, and called the way each is called.

One row of `LIBRARIES` is one library. Its prefix comes before import paths, so that `torchattacks:PGD` is the attack of
that library, and not a declaration of that name in its module.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.extensions.imports import by_path
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.norms import Norm

Batch = Callable[[Tensor, Tensor, Tensor | None, int], Any]
"""(float32 images (N, C, H, W) in [0, 1], int64 labels (N,), int64 targets (N,) or None, seed) -> images of the same
shape."""


@dataclass(frozen=True)
class Lent:
    """What a foreign attack is made for."""

    model: nn.Module
    """Float32 images (N, C, H, W) in [0, 1] to logits (N, classes)."""
    classes: int
    shape: tuple[int, int, int]
    """Channels, height and width."""
    device: torch.device
    batch: int
    """Rows that a pass may hold."""
    norm: Norm
    eps: float
    targeted: bool
    """Whether it is to reach one class, and not any wrong one."""
    settings: Mapping[str, Any]
    """Arguments of its own."""


@dataclass(frozen=True)
class Library:
    """A library of attacks: where they are, what their arguments are called, and how one is made and called."""

    package: str
    """Name on the package index."""
    module: str
    """Module whose distribution is the library."""
    attacks: str
    """Module that holds its attacks."""
    made: Callable[[Any, Lent, Mapping[str, Any]], Batch]
    """(attack, what it is made for, its arguments) -> the attack on one batch."""
    eps: tuple[str, ...]
    """Names of the argument that holds the budget."""
    norms: Mapping[Norm, Any]
    """Values of the argument `norm`."""
    positional: int = 1
    """Arguments that hardset gives by position: the model, or the model, images and labels."""
    aims: Callable[[Any], bool] = lambda attack: True
    """Whether an attack can be told a class to reach, as far as it says so before it is made."""

    def find(self, name: str, *, at: str) -> Any:
        """The attack of that name. Raises JobError, which begins with `at`, where the library or the attack is not."""
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            raise JobError(
                f"{at}: wants {self.package}, which is not installed here ({one_line(error)}); pip install "
                f"{self.package} on every machine"
            ) from None
        try:
            found = by_path(f"{self.attacks}:{name}")
        except (ImportError, AttributeError) as error:
            raise JobError(f"{at}: {error}") from None
        if not callable(found):
            raise JobError(f"{at}: {self.attacks}.{name} is a {type(found).__name__}, and no attack")
        return found

    @property
    def told(self) -> str:
        """Name and version, such as `torchattacks 3.5.1`."""
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return self.package

    def arguments(self, attack: Any, lent: Lent) -> dict[str, Any]:
        """The arguments of an attack: budget, norm and batch where it takes them, and the settings of the recipe."""
        taken = inspect.signature(attack).parameters
        offered = {
            **dict.fromkeys(self.eps, lent.eps),
            "norm": self.norms[lent.norm],
            "n_classes": lent.classes,
            "batch_size": lent.batch,
            "verbose": False,
            "targeted": lent.targeted,
        }
        return {name: value for name, value in offered.items() if name in taken} | dict(lent.settings)


def _art(attack: Any, lent: Lent, arguments: Mapping[str, Any]) -> Batch:
    classifier = by_path("art.estimators.classification:PyTorchClassifier")
    estimator = classifier(
        model=lent.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=lent.shape,
        nb_classes=lent.classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if lent.device.type == "cpu" else "gpu",
    )
    made = attack(estimator, **arguments)
    if lent.targeted:
        made.set_params(targeted=True)
    one_hot = np.eye(lent.classes, dtype=np.float32)

    def batch(images: Tensor, labels: Tensor, targets: Tensor | None, seed: int) -> Any:
        aims = labels if targets is None else targets
        return made.generate(x=images.cpu().numpy(), y=one_hot[aims.cpu().numpy()])

    return batch


def _torchattacks(attack: Any, lent: Lent, arguments: Mapping[str, Any]) -> Batch:
    made = attack(lent.model, **arguments)
    made.set_device(lent.device)
    if lent.targeted:
        made.set_mode_targeted_by_label(quiet=True)
    return lambda images, labels, targets, seed: made(images, labels if targets is None else targets)


def _foolbox(attack: Any, lent: Lent, arguments: Mapping[str, Any]) -> Batch:
    model = by_path("foolbox:PyTorchModel")(lent.model, bounds=(0, 1), device=lent.device)
    made = attack(**arguments)

    def batch(images: Tensor, labels: Tensor, targets: Tensor | None, seed: int) -> Any:
        wanted = labels if targets is None else by_path("foolbox.criteria:TargetedMisclassification")(targets)
        _, clipped, _ = made(model, images, wanted, epsilons=lent.eps)
        return clipped

    return batch


def _adv_lib(attack: Any, lent: Lent, arguments: Mapping[str, Any]) -> Batch:
    def batch(images: Tensor, labels: Tensor, targets: Tensor | None, seed: int) -> Any:
        return attack(lent.model, images, labels if targets is None else targets, **arguments)

    return batch


def _takes_targeted(attack: Any) -> bool:
    return "targeted" in inspect.signature(attack).parameters


LIBRARIES: Mapping[str, Library] = {
    "art": Library(
        "adversarial-robustness-toolbox", "art", "art.attacks.evasion", _art,
        ("eps",), {"linf": np.inf, "l2": 2, "l1": 1},
        aims=lambda attack: "targeted" in getattr(attack, "attack_params", ()),
    ),
    "torchattacks": Library(
        "torchattacks", "torchattacks", "torchattacks", _torchattacks,
        ("eps",), {"linf": "Linf", "l2": "L2", "l1": "L1"},
    ),
    "foolbox": Library("foolbox", "foolbox", "foolbox.attacks", _foolbox, (), dict.fromkeys(("linf", "l2", "l1")), 0),
    "advlib": Library(
        "adv-lib", "adv_lib", "adv_lib.attacks", _adv_lib,
        ("eps", "ε"), {"linf": float("inf"), "l2": 2.0, "l1": 1.0}, 3,
        aims=_takes_targeted,
    ),
}  # fmt: skip
"""Libraries by the prefix of their attacks' names."""


def library_of(name: str) -> Library | None:
    """The library that an attack's name begins with; None: it is another name."""
    prefix, colon, _ = name.partition(":")
    return LIBRARIES.get(prefix) if colon else None


def check_settings(name: str, attack: Any, settings: Mapping[str, Any], *, at: str) -> None:
    """Raises JobError, which begins with `at`, where a foreign attack cannot be called with these settings."""
    library = library_of(name)
    own = _given(library)
    twice = next((key for key in settings if key in own), None)
    if twice == "seed":
        raise JobError(f"{at}.seed: {name} is given its seed by hardset; leave it out, run seeds stand at the top")
    if twice is not None:
        beside = {"norm": "norm", "targeted": "target", "targets": "target"}.get(twice, "eps")
        raise JobError(f"{at}.{twice}: stands in the recipe itself, beside name: {beside}")
    positional = _positional(library)
    signature, names = inspect.signature(attack), own_arguments(name, attack)
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for key in settings:
        if key not in signature.parameters and not takes_any:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(names) or 'none'}"
            raise JobError(f"{at}.{key}: {name} has no such argument; {hint}")
    given = {"eps": 0.0, "seed": 0} if library is None else {key: 0 for key in own if key in signature.parameters}
    try:
        signature.bind(*[None] * positional, **given, **settings)
    except TypeError as error:
        raise JobError(f"{at}: {name} cannot be called with them: {one_line(error)}") from None


def check_target(name: str, attack: Any, *, at: str) -> None:
    """Raises JobError, which begins with `at`, where a foreign attack cannot be told which class to reach."""
    library = library_of(name)
    if library is None:
        if "targets" not in inspect.signature(attack).parameters:
            raise JobError(f"{at}.target: {name} has no argument targets, which would be given int64 classes (N,)")
    elif not library.aims(attack):
        raise JobError(f"{at}.target: {name} cannot be told which class to reach; leave target out")


def own_arguments(name: str, attack: Any) -> tuple[str, ...]:
    """Names of the arguments that a recipe may give a foreign attack under `settings`."""
    library = library_of(name)
    taken = [
        one
        for one in inspect.signature(attack).parameters.values()
        if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    ]
    return tuple(one.name for one in taken[_positional(library) :] if one.name not in _given(library))


def _given(library: Library | None) -> tuple[str, ...]:
    """Arguments that hardset gives out of the recipe's own keys."""
    return ("eps", "seed", "targets") if library is None else (*library.eps, "norm", "targeted")


def _positional(library: Library | None) -> int:
    """Number of arguments that hardset gives by position; a user's function takes model, images and labels."""
    return 3 if library is None else library.positional


def function_at(name: str, found: Any, *, at: str) -> Any:
    """A user's callable (model, images, labels, *, eps, seed) -> images. Raises JobError where it takes other ones."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        raise JobError(
            f"{at}: {name} tells no arguments; wants a function (model, images, labels, *, eps, seed)"
        ) from None
    taken = signature.parameters.values()
    named = {one.name for one in taken if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
    if not {"eps", "seed"} <= named and not any(one.kind is one.VAR_KEYWORD for one in taken):
        raise JobError(f"{at}: {name} takes {signature}; wants (model, images, labels, *, eps, seed)")
    return found


def _function(attack: Any, lent: Lent) -> Batch:
    def batch(images: Tensor, labels: Tensor, targets: Tensor | None, seed: int) -> Any:
        aim = {} if targets is None else {"targets": targets}
        return attack(lent.model, images, labels, eps=lent.eps, seed=seed, **aim, **lent.settings)

    return batch


def batch_of(name: str, attack: Any, lent: Lent) -> Batch:
    """The attack on one batch. Raises JobError where it cannot be made with its settings."""
    library = library_of(name)
    if library is None:
        return _function(attack, lent)
    try:
        return library.made(attack, lent, library.arguments(attack, lent))
    except Exception as error:  # its constructor checks the settings, and each in its own way
        raise JobError(f"settings: {name} refuses them: {type(error).__name__}: {one_line(error)}") from error
