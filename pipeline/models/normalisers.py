"""Normalisers that were saved around a network: found by their names beside it, and held against the job's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from hardset.pipeline.models.candidates import State
from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Normalize

_MEAN = re.compile(r"_?(\w+_)?(means?|mu)(_t|_tensor)?")
_STD = re.compile(r"_?(\w+_)?(stds?|std_?dev|sds?|sigma)(_t|_tensor)?")
_MOST_CHANNELS = 4
# Published means and deviations are rounded to three or four digits (0.4914 for 125.3 / 255).
_SAME = 1e-3


class NormalisationError(JobError):
    """The checkpoint carries another normalisation than the job says."""

    def __init__(self, message: str, normalize: dict[str, list[float]]) -> None:
        super().__init__(message)
        self.normalize = normalize
        """The one that it carries, as a job file has it."""


@dataclass(frozen=True)
class Normaliser:
    """What a file brings images to before its network: one value, or one a channel."""

    mean: Tensor
    std: Tensor


def normaliser_in(state: State, wanted: State) -> tuple[Normaliser, State] | None:
    """The normaliser at the top of a state dict, or in a part of its own, and the tensors beside it; None without one.

    Tensors that the network `wanted` has by these names are its own.
    """
    for parent in dict.fromkeys(key.rpartition(".")[0] for key in state):
        if parent.count("."):
            continue
        prefix = f"{parent}." if parent else ""
        below = {key.removeprefix(prefix): key for key in state if key.startswith(prefix)}
        small = [name for name, key in below.items() if "." not in name and state[key].numel() <= _MOST_CHANNELS]
        mean = next((below[name] for name in small if _MEAN.fullmatch(name)), None)
        std = next((below[name] for name in small if _STD.fullmatch(name)), None)
        if mean and std and not {mean, std} & wanted.keys() and (not parent or len(below) == 2):
            rest = {key: tensor for key, tensor in state.items() if key not in (mean, std)}
            return Normaliser(state[mean], state[std]), rest
    return None


def check_normaliser(carried: Normaliser, normalize: Normalize | None, name: str, at: str) -> None:
    """Raises NormalisationError where the normaliser in the file `name` is not the job's; one of 0 and 1 is none."""
    mean, std = (tensor.float().flatten().tolist() for tensor in (carried.mean, carried.std))
    given_mean, given_std = (normalize.mean, normalize.std) if normalize else ((0.0,), (1.0,))
    identity = normalize is None and not any(mean) and all(abs(value - 1) <= _SAME for value in std)
    same = len(mean) == len(std) == len(given_mean) and all(
        abs(a - b) <= _SAME for a, b in zip((*given_mean, *given_std), (*mean, *std), strict=True)
    )
    if not same and not identity:
        means, deviations = ([round(value, 4) for value in values] for values in (mean, std))
        raise NormalisationError(
            f"{at}.normalize: {name} was trained with another normalisation; write normalize: "
            f"{{mean: {means}, std: {deviations}}}",
            {"mean": means, "std": deviations},
        )
