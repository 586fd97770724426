"""Loads tensors into a module: matches names, shapes, types, then values; each mismatch is one short sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hardset.pipeline.models.candidates import WHOLE, State
from hardset.pipeline.models.matching import Match, matched, others_of, parts_that_fit
from hardset.pipeline.models.normalisers import check_normaliser
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Normalize

_LISTED = 3
"""Maximum number of names listed in one sentence."""


def fill(module: nn.Module, state: State, *, name: str, normalize: Normalize | None, at: str = "model") -> None:
    """Copies `state` into `module`; it must hold every tensor of the module and no other.

    A prefix shared by all names (`net.`, `module.`) of file or module is passed over, as are counters, losses and
    metrics beside the network. `mean` and `std` of a normaliser around the network are ignored if they equal the job's
    `normalize`. Raises JobError, which names the file `name` and the job's keys below `at`.
    """
    fill_from(module, {WHOLE: state}, name=name, normalize=normalize, at=at)


def fill_from(
    module: nn.Module,
    found: Mapping[str, State],
    *,
    name: str,
    normalize: Normalize | None,
    at: str = "model",
    by: str = "factory",
) -> tuple[str, ...]:
    """Copies the one of the state dicts `found`, by their path in the file, that fits `module`, as `fill` does.

    `by`: key of the job that says which network it is. Returns a sentence for what is left out of that state dict.
    Raises JobError also where several fit that are not the same: averaged (EMA) weights beside raw ones.
    """
    wanted = module.state_dict()
    path, match = _chosen(found, wanted, [key for key, _ in module.named_parameters()], name, at, by)
    if match.normaliser:
        check_normaliser(match.normaliser, normalize, name, at)
    faults = [
        f"{key} is {_shape(match.names[key])} in the file and {_shape(tensor)} in the model"
        for key, tensor in wanted.items()
        if key in match.names and tensor.shape != match.names[key].shape
    ]
    if faults:
        raise JobError(f"{at}.weights: {name}: {_some(faults, '; ')}; check {at}.{by} and {at}.arguments")
    _check_types(match.names, wanted, name, at)
    try:
        module.load_state_dict(dict(match.names), strict=False)
    except RuntimeError as error:
        reason = one_line(error)
        raise JobError(f"{at}.weights: {name}: cannot be copied into the model: {reason}") from None
    left = match.left_out(found[path])
    return (f"{at}.weights: {name}: {_some(list(left), ', ')} left out, which the network lacks",) if left else ()


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


def _chosen(
    found: Mapping[str, State], wanted: State, parameters: Sequence[str], name: str, at: str, by: str
) -> tuple[str, Match]:
    """The one state dict that fits the module, by its path in the file, and its match; of several, one of equal ones.

    Raises JobError where another holds other values of the parameters, too.
    """
    matches = {path: matched(state, wanted) for path, state in found.items()}
    fitting = {path: (path, match) for path, match in matches.items() if match.fits}
    for path, state in found.items() if not fitting else ():
        for head, match in parts_that_fit(state, wanted).items():
            fitting[_below(path, head)] = path, match
    if not fitting and any(others_of(state, wanted, parameters) for state in found.values()):
        raise JobError(
            f"{at}.weights: {name}: holds averages of the network's parameters without their names or without its "
            "buffers; copy them into the network as its training does for evaluation, and save its state dict"
        )
    if not fitting:
        raise JobError(_unfit(max(matches.values(), key=lambda match: -len(match.missing)), name, at, by))
    first = next(iter(fitting.values()))
    others = {key for key, (_, match) in fitting.items() if not _same(first[1].names, match.names)}
    taken = [first[1].names[key] for key in parameters]
    for path, state in found.items():
        for head, values in others_of(state, wanted, parameters).items():
            key, known = _below(path, head), [match.names for _, match in fitting.values()]
            listed = any(all(names[n] is value for n, value in zip(parameters, values, strict=True)) for names in known)
            if not listed and not all(_equal(one, other) for one, other in zip(taken, values, strict=True)):
                others.add(key)
    if others:
        several = [*(key for key in fitting if key not in others), *sorted(others)]
        raise JobError(
            f"{at}.weights: {name}: holds several sets of weights for this network: {', '.join(several)}; set "
            f"{at}.weights_key to the one to take (averaged weights, ema, are the ones that are usually evaluated)"
        )
    return first


def _below(path: str, head: str) -> str:
    return ".".join(part for part in (path, head) if part)


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.dtype == other.dtype and one.dtype.itemsize == 1 and one.is_floating_point():
        one, other = one.view(torch.uint8), other.view(torch.uint8)  # floats of 8 bits know no comparison
    return one is other or torch.equal(one, other)


def _unfit(match: Match, name: str, at: str, by: str) -> str:
    lists = (("missing", list(match.missing)), ("unexpected", list(match.unexpected)))
    parts = "; ".join(f"{what} {_some(keys, ', ')}" for what, keys in lists if keys)
    return (
        f"{at}.weights: {name}: does not fit {at}.{by}: {parts}; name the {by}, with the "
        f"{at}.arguments, that these weights were trained with"
    )


def _check_types(names: State, wanted: State, name: str, at: str) -> None:
    """Refuses whole numbers for floating-point tensors: they are quantised, and mean nothing without their scale."""
    for key, tensor in wanted.items():
        given = names.get(key)
        if given is not None and tensor.is_floating_point() and _needs_a_scale(given):
            kind = str(given.dtype).removeprefix("torch.")
            raise JobError(
                f"{at}.weights: {name}: {key} is {kind} in the file and floating point in the model: quantised weights "
                "mean nothing without their scale; save the network's floating-point weights, or dequantise these"
            )


def _needs_a_scale(tensor: Tensor) -> bool:
    """Whether the values are those of a quantised tensor: whole numbers, or floats of 8 bits."""
    return tensor.is_quantized or not tensor.is_floating_point() or tensor.dtype.itemsize == 1


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _some(items: list[str], separator: str) -> str:
    more = f"{separator}and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return separator.join(items[:_LISTED]) + more
