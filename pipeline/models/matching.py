"""Names in a file against names in a module, where wrappers have put prefixes before either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from hardset.pipeline.models.candidates import State
from hardset.pipeline.models.normalisers import Normaliser, normaliser_in

_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a name, anywhere in it, that torch.compile, FSDP and checkpointing of activations put there."""
_COUNTERS = ("total_ops", "total_params")
"""Counters that thop adds to every module."""
_COMPANIONS = {
    *("criterion", "loss", "loss_fn", "loss_func", "train_metrics", "val_metrics", "test_metrics"),
    *("class_weights", "class_weight", "pos_weight"),
}
"""Parts of a Lightning module, and the like, beside the network: losses, their weights, and metrics."""
_AVERAGED = "n_averaged"
"""Counter of torch.optim.swa_utils.AveragedModel."""
_BATCHES = "num_batches_tracked"
"""Counter that checkpoints from before torch 0.4.1 lack, and that eval mode does not read."""


@dataclass(frozen=True)
class Match:
    """Tensors of a file under the names of a module."""

    names: State
    normaliser: Normaliser | None = None
    """Normaliser that was saved around the network."""
    missing: tuple[str, ...] = field(default=())
    """Names of the module that the file lacks."""
    unexpected: tuple[str, ...] = field(default=())
    """Names in the file that the module lacks."""

    @property
    def fits(self) -> bool:
        """Whether every tensor of the module is there, and no other."""
        return not self.missing and not self.unexpected

    def left_out(self, state: State) -> tuple[str, ...]:
        """Names of the file's tensors `state` that are no part of the network, nor of the normaliser around it."""
        used = {id(tensor) for tensor in self.names.values()}
        if self.normaliser:
            used |= {id(self.normaliser.mean), id(self.normaliser.std)}
        return tuple(key for key, tensor in state.items() if id(tensor) not in used)


def matched(state: State, wanted: State) -> Match:
    """The best match of a file's tensors with a module's, after the prefixes that wrappers put before all of either."""
    state, own = _unwrapped(state), _own_names(wanted)
    found = [_match(view, normaliser, names) for view, normaliser in _views(state, wanted) for names in own]
    fitting = next((match for match in found if match.fits), None)
    return fitting or max(found, key=lambda match: len(match.names.keys() & wanted.keys()))


def parts_that_fit(state: State, wanted: State) -> dict[str, Match]:
    """Networks side by side in one state dict, such as `model.` and `ema_model.`, by prefix; those that fit."""
    carried = normaliser_in(state, wanted)
    normaliser, state = carried or (None, state)
    found = {}
    for head, below in _parts(state).items():
        if len(below) >= len(wanted) // 2 and (match := matched(below, wanted)).fits:
            found[head] = replace(match, normaliser=match.normaliser or normaliser)
    return found


def others_of(state: State, wanted: State, parameters: Sequence[str]) -> dict[str, list[Tensor]]:
    """Further values of all of a module's `parameters` in a state dict, in their order, by prefix: averages of them.

    They lie under the parameters' names, under these without dots, or, of a list, at their places. Buffers may lack.
    Where the state dict is one itself its prefix is empty.
    """
    named = [{whole: short for short, whole in names.items()} for names in _own_names(wanted)]
    known = [[names[name] for name in parameters] for names in named]
    orders = [
        *known,
        *([name.replace(".", "") for name in names] for names in known),
        list(map(str, range(len(known[0])))),
    ]
    found: dict[str, list[Tensor]] = {}
    for head, below in {"": state, **_parts(state)}.items():
        for view in _stripped(_unwrapped(below)):
            for names in orders:
                tensors = [view[name] for name in names if name in view]
                if len(tensors) == len(parameters) and _same_shapes(tensors, [wanted[name] for name in parameters]):
                    found.setdefault(head, tensors)
    return found


def _same_shapes(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(one.shape == other.shape for one, other in zip(some, others, strict=True))


def _stripped(state: State) -> Iterator[State]:
    """The tensors, then without the prefix of one wrapper after another."""
    yield state
    while len({key.partition(".")[0] for key in state}) == 1 and all("." in key for key in state):
        state = {key.partition(".")[2]: tensor for key, tensor in state.items()}
        yield state


def _parts(state: State) -> dict[str, dict[str, Tensor]]:
    """Tensors of a state dict by the first part of their names, without it; empty where all share it."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        head, dot, name = key.partition(".")
        if dot:
            parts.setdefault(head, {})[name] = tensor
    alone = len(parts) == 1 and sum(map(len, parts.values())) == len(state)
    return {} if alone else parts


def _match(view: State, normaliser: Normaliser | None, own: Mapping[str, str]) -> Match:
    """`own`: the module's names by what they are without its wrappers' prefixes."""
    names = {own.get(key, key): tensor for key, tensor in view.items()}
    missing = [key for key in own.values() if key not in names and not key.endswith(_BATCHES)]
    known = set(own.values())
    return Match(names, normaliser, tuple(missing), tuple(sorted(key for key in names if key not in known)))


def _unwrapped(state: State) -> State:
    """The tensors under names without wrappers' parts; as they are where two would have one name."""
    found = {_bare(key): tensor for key, tensor in state.items()}
    return found if len(found) == len(state) else state


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _own_names(wanted: State) -> list[dict[str, str]]:
    """The module's names, then without the prefix of one wrapper after another; each to the name itself."""
    names = {_bare(key): key for key in wanted}
    found = [names]
    while len({key.partition(".")[0] for key in names}) == 1 and all("." in key for key in names):
        names = {key.partition(".")[2]: whole for key, whole in names.items()}
        found.append(names)
    return found


def _views(state: State, wanted: State) -> Iterator[tuple[State, Normaliser | None]]:
    """The file's tensors as they are, then with one wrapper after another removed; and the normaliser met so far."""
    normaliser: Normaliser | None = None
    yield state, normaliser
    state = _without_extras(state, wanted)
    yield state, normaliser
    while True:
        carried = None if normaliser else normaliser_in(state, wanted)
        heads = {key.partition(".")[0] for key in state}
        if carried:
            normaliser, state = carried
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
