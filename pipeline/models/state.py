"""Loads tensors into a module: matches names, shapes, types, then values; each mismatch is one short sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hardset.pipeline.models.candidates import WHOLE, State
from hardset.pipeline.models.matching import Match, matched, parts_that_fit
from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Normalize

# Published means and deviations are rounded to three or four digits (0.4914 for 125.3 / 255).
_SAME_NORMALISATION = 1e-3
_LISTED = 3
"""Maximum number of names listed in one sentence."""


class NormalisationError(JobError):
    """The checkpoint carries another normalisation than the job says."""

    def __init__(self, message: str, normalize: dict[str, list[float]]) -> None:
        super().__init__(message)
        self.normalize = normalize
        """The one that it carries, as a job file has it."""


def fill(module: nn.Module, state: State, *, name: str, normalize: Normalize | None, at: str = "model") -> None:
    """Copies `state` into `module`; it must hold every tensor of the module and no other.

    A prefix shared by all names (`net.`, `module.`) of file or module is passed over, as are counters, losses and
    metrics beside the network. `mean` and `std` of a normaliser around the network are ignored if they equal the job's
    `normalize`. Raises JobError, which names the file `name` and the job's keys below `at`.
    """
    fill_from(module, {WHOLE: state}, name=name, normalize=normalize, at=at)


def fill_from(
    module: nn.Module, found: Mapping[str, State], *, name: str, normalize: Normalize | None, at: str = "model"
) -> None:
    """Copies the one of the state dicts `found`, by their path in the file, that fits `module`, as `fill` does.

    Raises JobError also where several fit that are not the same: averaged (EMA) weights beside raw ones.
    """
    wanted = module.state_dict()
    match = _chosen(found, wanted, name, at)
    if match.normaliser:
        _check_normaliser(match.normaliser, normalize, name, at)
    faults = [
        f"{key} is {_shape(match.names[key])} in the file and {_shape(tensor)} in the model"
        for key, tensor in wanted.items()
        if key in match.names and tensor.shape != match.names[key].shape
    ]
    if faults:
        raise JobError(f"{at}.weights: {name}: {_some(faults, '; ')}; check {at}.factory and {at}.arguments")
    _check_types(match.names, wanted, name, at)
    try:
        module.load_state_dict(dict(match.names), strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise JobError(f"{at}.weights: {name}: cannot be copied into the model: {reason}") from None


def check_finite(module: nn.Module, name: str, at: str = "model") -> None:
    """Raises JobError naming the first tensor that holds NaN or infinity."""
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        # Attention masks are buffers that hold -inf.
        masks = 0 if isinstance(tensor, nn.Parameter) else torch.isneginf(tensor).sum()
        if int((~torch.isfinite(tensor)).sum() - masks):
            raise JobError(
                f"{at}.weights: {name}: tensor {key} holds NaN or infinity; take a checkpoint from before the "
                "training diverged"
            )


def _chosen(found: Mapping[str, State], wanted: State, name: str, at: str) -> Match:
    """The match of the one state dict that fits the module; of several, they must hold the same values."""
    matches = {path: matched(state, wanted) for path, state in found.items()}
    fitting = {path: match for path, match in matches.items() if match.fits}
    for path, state in found.items() if not fitting else ():
        for head, match in parts_that_fit(state, wanted).items():
            fitting[f"{path}.{head}" if path else head] = match
    if not fitting:
        raise JobError(_unfit(max(matches.values(), key=lambda match: -len(match.missing)), name, at))
    first, *others = fitting.values()
    if any(not _same(first.names, match.names) for match in others):
        raise JobError(
            f"{at}.weights: {name}: holds several sets of weights for this network: {', '.join(fitting)}; set "
            f"{at}.weights_key to the one to take (averaged weights, ema, are the ones that are usually evaluated)"
        )
    return first


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _unfit(match: Match, name: str, at: str) -> str:
    lists = (("missing", list(match.missing)), ("unexpected", list(match.unexpected)))
    parts = "; ".join(f"{what} {_some(keys, ', ')}" for what, keys in lists if keys)
    return (
        f"{at}.weights: {name}: does not fit {at}.factory: {parts}; name the factory, with the "
        f"{at}.arguments, that these weights were trained with"
    )


def _check_types(names: State, wanted: State, name: str, at: str) -> None:
    """Refuses whole numbers for floating-point tensors: they are quantised, and mean nothing without their scale."""
    for key, tensor in wanted.items():
        given = names.get(key)
        if given is not None and tensor.is_floating_point() and (given.is_quantized or not given.is_floating_point()):
            kind = str(given.dtype).removeprefix("torch.")
            raise JobError(
                f"{at}.weights: {name}: {key} is {kind} in the file and floating point in the model: quantised weights "
                "mean nothing without their scale; save the network's floating-point weights, or dequantise these"
            )


def _check_normaliser(carried: tuple[Tensor, Tensor], normalize: Normalize | None, name: str, at: str) -> None:
    mean, std = (tensor.float().flatten().tolist() for tensor in carried)
    given_mean, given_std = (normalize.mean, normalize.std) if normalize else ((0.0,), (1.0,))
    identity = normalize is None and not any(mean) and all(abs(value - 1) <= _SAME_NORMALISATION for value in std)
    same = len(mean) == len(std) == len(given_mean) and all(
        abs(a - b) <= _SAME_NORMALISATION for a, b in zip((*given_mean, *given_std), (*mean, *std), strict=True)
    )
    if not same and not identity:
        means, deviations = ([round(value, 4) for value in values] for values in (mean, std))
        raise NormalisationError(
            f"{at}.normalize: {name} was trained with another normalisation; write normalize: "
            f"{{mean: {means}, std: {deviations}}}",
            {"mean": means, "std": deviations},
        )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _some(items: list[str], separator: str) -> str:
    more = f"{separator}and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return separator.join(items[:_LISTED]) + more
