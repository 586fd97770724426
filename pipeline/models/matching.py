"""Names in a file against names in a module, where wrappers have put prefixes before either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from hardset.pipeline.models.candidates import State

_NORMALISERS = (("mean", "std"), ("mu", "sigma"))
"""Names of the tensors of a normaliser around a network, mean first."""
_COUNTERS = ("total_ops", "total_params")
"""Counters that thop adds to every module."""
_COMPANIONS = {"criterion", "loss", "loss_fn", "loss_func", "train_metrics", "val_metrics", "test_metrics"}
"""Parts of a Lightning module, and the like, beside the network: losses and metrics."""
_AVERAGED = "n_averaged"
"""Counter of torch.optim.swa_utils.AveragedModel."""


@dataclass(frozen=True)
class Match:
    """Tensors of a file under the names of a module."""

    names: State
    normaliser: tuple[Tensor, Tensor] | None = None
    """Mean and standard deviation of a normaliser that was saved around the network."""
    missing: tuple[str, ...] = field(default=())
    """Names of the module that the file lacks."""
    unexpected: tuple[str, ...] = field(default=())
    """Names in the file that the module lacks."""

    @property
    def fits(self) -> bool:
        """Whether every tensor of the module is there, and no other."""
        return not self.missing and not self.unexpected


def matched(state: State, wanted: State) -> Match:
    """The best match of a file's tensors with a module's, after the prefixes that wrappers put before all of either."""
    found = [_match(view, normaliser, own) for view, normaliser in _views(state, wanted) for own in _own_names(wanted)]
    fitting = next((match for match in found if match.fits), None)
    return fitting or max(found, key=lambda match: len(match.names.keys() & wanted.keys()))


def parts_that_fit(state: State, wanted: State) -> dict[str, Match]:
    """Networks side by side in one state dict, such as `model.` and `ema_model.`, by prefix; those that fit."""
    heads = dict.fromkeys(key.partition(".")[0] for key in state if "." in key)
    found = {}
    for head in heads if len(heads) > 1 else ():
        below = {key.partition(".")[2]: tensor for key, tensor in state.items() if key.startswith(f"{head}.")}
        if len(below) >= len(wanted) // 2 and (match := matched(below, wanted)).fits:
            found[head] = match
    return found


def _match(view: State, normaliser: tuple[Tensor, Tensor] | None, own: Mapping[str, str]) -> Match:
    """`own`: the module's names by what they are without its wrappers' prefixes."""
    names = {own.get(key, key): tensor for key, tensor in view.items()}
    # Checkpoints from before torch 0.4.1 lack the counter; eval mode does not read it.
    missing = [key for key in own.values() if key not in names and not key.endswith("num_batches_tracked")]
    known = set(own.values())
    return Match(names, normaliser, tuple(missing), tuple(sorted(key for key in names if key not in known)))


def _own_names(wanted: State) -> Iterator[dict[str, str]]:
    """The module's names, then without the prefix of one wrapper after another; each to the name itself."""
    names = {key: key for key in wanted}
    yield names
    while len({key.partition(".")[0] for key in names}) == 1 and all("." in key for key in names):
        names = {key.partition(".")[2]: whole for key, whole in names.items()}
        yield names


def _views(state: State, wanted: State) -> Iterator[tuple[State, tuple[Tensor, Tensor] | None]]:
    """The file's tensors as they are, then with one wrapper after another removed; and the normaliser met so far."""
    normaliser: tuple[Tensor, Tensor] | None = None
    yield state, normaliser
    state = _without_extras(state, wanted)
    yield state, normaliser
    while True:
        pair = next((pair for pair in _NORMALISERS if set(pair) < state.keys()), None)
        heads = {key.partition(".")[0] for key in state}
        if pair and normaliser is None and not wanted.keys() & set(pair):
            normaliser = state[pair[0]], state[pair[1]]
            state = {key: tensor for key, tensor in state.items() if key not in pair}
        elif len(heads) == 1 and all("." in key for key in state):
            state = _without_extras({key.partition(".")[2]: tensor for key, tensor in state.items()}, wanted)
        else:
            return
        yield state, normaliser


def _without_extras(state: State, wanted: State) -> State:
    """Without counters, losses and metrics that the module does not have itself."""
    own = {key.partition(".")[0] for key in wanted}
    return {
        key: tensor
        for key, tensor in state.items()
        if key in wanted
        or not (
            key == _AVERAGED
            or key.rpartition(".")[2] in _COUNTERS
            or (key.partition(".")[0] in _COMPANIONS and key.partition(".")[0] not in own)
        )
    }
