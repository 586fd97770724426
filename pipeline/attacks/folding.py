"""Batch normalisations folded into the convolutions before them."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norms(module: nn.Module) -> tuple[nn.Module, int]:
    """A frozen copy of `module` in eval mode, and how many batch normalisations were folded in it.

    The copy runs the module's own code, so that control flow and random draws stay what they are: folded layers become
    identities. Only where tracing shows that a convolution feeds one normalisation and nothing else; modules that
    cannot be traced are copied as they are. Raises what copying raises.
    """
    pairs = _pairs(copy.deepcopy(module))
    frozen = copy.deepcopy(module)
    for part in frozen.modules():
        part.training = False
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    for convolution, normalisation in pairs:
        first, second = frozen.get_submodule(convolution), frozen.get_submodule(normalisation)
        fused: nn.Module = fuse_conv_bn_eval(first, second)  # type: ignore[type-var,arg-type]  # `_folds` saw to it
        _replace(frozen, convolution, fused.requires_grad_(False))
        _replace(frozen, normalisation, nn.Identity())
    return frozen, len(pairs)


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of each convolution and the normalisation that alone takes its output. Tracing leaves marks on `module`."""
    for part in module.modules():
        part.training = False
    # Tracing runs the module's code, which may draw random numbers.
    with torch.random.fork_rng(devices=[]):
        try:
            graph = fx.Tracer().trace(module)
        except Exception:  # control flow that depends on values, and whatever else a user's code does with a proxy
            return []
    layers = dict(module.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times: dict[int, int] = {}
    for node in calls:
        times[id(layers[str(node.target)])] = times.get(id(layers[str(node.target)]), 0) + 1
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    found = []
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        names = str(before.target), str(node.target)
        first, second = (layers[name] for name in names)
        once = times[id(first)] == times[id(second)] == 1 and not read.intersection(names)
        if once and _folds(first, second):
            found.append(names)
    return found


def _folds(first: nn.Module, second: nn.Module) -> bool:
    return (
        type(first) in _CONVOLUTIONS
        and type(second) in _NORMALISATIONS
        and getattr(second, "running_var", None) is not None
        and not any(_hooked(layer) for layer in (first, second))
    )


def _hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)
