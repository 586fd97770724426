"""Loads tensors into a module: matches names, then shapes, then values; each mismatch is one short sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hardset.pipeline.models.weights import State
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Normalize

# Published means and deviations are rounded to three or four digits (0.4914 for 125.3 / 255).
_SAME_NORMALISATION = 1e-3
_NORMALISER = {"mean", "std"}
_LISTED = 3
"""Maximum number of names listed in one sentence."""


def fill(module: nn.Module, state: State, *, name: str, normalize: Normalize | None, at: str = "model") -> None:
    """Copies `state` into `module`; it must hold every tensor of the module and no other.

    A prefix shared by all names (`net.`, `module.`) is removed. `mean` and `std` of a normaliser around the network are
    ignored if they equal the job's `normalize`. Raises JobError, which names the file `name` and the job's keys below
    `at`.
    """
    wanted = module.state_dict()
    names, normaliser = _matched(state, wanted, name, at)
    if normaliser:
        _check_normaliser(normaliser, normalize, name, at)
    faults = [
        f"{key} is {_shape(names[key])} in the file and {_shape(tensor)} in the model"
        for key, tensor in wanted.items()
        if key in names and tensor.shape != names[key].shape
    ]
    if faults:
        raise JobError(f"{at}.weights: {name}: {_some(faults, '; ')}; check {at}.factory and {at}.arguments")
    try:
        module.load_state_dict(dict(names), strict=False)
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


def _matched(state: State, wanted: State, name: str, at: str) -> tuple[State, State]:
    """Tensors under the module's names, and the tensors of a normaliser around the network."""
    views = list(_views(state, wanted))
    for names, normaliser in views:
        if not _missing(names, wanted) and not _unexpected(names, wanted):
            return names, normaliser
    names, _ = max(views, key=lambda view: len(view[0].keys() & wanted.keys()))
    lists = (("missing", _missing(names, wanted)), ("unexpected", _unexpected(names, wanted)))
    parts = "; ".join(f"{what} {_some(keys, ', ')}" for what, keys in lists if keys)
    raise JobError(
        f"{at}.weights: {name}: does not fit {at}.factory: {parts}; name the factory, with the "
        f"{at}.arguments, that these weights were trained with"
    )


def _views(state: State, wanted: State) -> Iterable[tuple[State, State]]:
    """Yields `state` unchanged, then with one wrapper after another removed."""
    normaliser: Mapping[str, Tensor] = {}
    yield state, normaliser
    while True:
        heads = {key.partition(".")[0] for key in state}
        if state.keys() > _NORMALISER and not normaliser and not wanted.keys() & _NORMALISER:
            normaliser = {key: state[key] for key in _NORMALISER}
            state = {key: tensor for key, tensor in state.items() if key not in _NORMALISER}
        elif len(heads) == 1 and all("." in key for key in state):
            state = {key.partition(".")[2]: tensor for key, tensor in state.items()}
        else:
            return
        yield state, normaliser


def _missing(names: State, wanted: State) -> list[str]:
    # Checkpoints from before torch 0.4.1 lack the counter; eval mode does not read it.
    return [key for key in wanted if key not in names and not key.endswith("num_batches_tracked")]


def _unexpected(names: State, wanted: State) -> list[str]:
    return sorted(key for key in names if key not in wanted)


def _check_normaliser(found: State, normalize: Normalize | None, name: str, at: str) -> None:
    mean, std = (found[key].flatten().tolist() for key in ("mean", "std"))
    given = (*normalize.mean, *normalize.std) if normalize else ()
    carried = (*mean, *std)
    same = len(given) == len(carried) and all(
        abs(a - b) <= _SAME_NORMALISATION for a, b in zip(given, carried, strict=True)
    )
    if not same:
        figures = f"{{mean: {[round(value, 4) for value in mean]}, std: {[round(value, 4) for value in std]}}}"
        raise JobError(f"{at}.normalize: {name} was trained with another normalisation; write normalize: {figures}")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _some(items: list[str], separator: str) -> str:
    more = f"{separator}and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return separator.join(items[:_LISTED]) + more
