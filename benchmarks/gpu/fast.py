"""How fast the search is: beside a bare loop in the same mode, beside other libraries, and beside the card's peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from benchmarks.attacks.timing import Contender, Times, take_turns
from benchmarks.gpu.card import peak
from benchmarks.gpu.modes import BFLOAT16, COMPILED, COMPILED_TF32, FLOAT32, TF32, Mode, compiler, switches
from benchmarks.gpu.networks import Network, networks
from benchmarks.gpu.peers import MISSING, PEERS, peer
from benchmarks.gpu.profiling import profiled
from benchmarks.gpu.searching import Searcher
from benchmarks.gpu.setting import Line, Part, Record, Setting

_ROUNDS = 3
_FIRST = "hardset, to first success"
_SAME_KERNELS = "bare loop, deterministic kernels"
SHORT, LONG = 10, 40


def lines(setting: Setting) -> Mapping[str, Line]:
    """Every line, in order of weight: compilations take most of the time, and what they leave goes to the last ones."""
    first, *_ = every = networks(setting)
    main = (FLOAT32, COMPILED) if setting.tiny else (FLOAT32, BFLOAT16, COMPILED)
    rest = () if setting.tiny else (TF32, COMPILED_TF32)
    found: dict[str, Line] = {"peak": lambda: peak(setting)}
    for network in every:
        found[f"{network.name}, peers"] = partial(peers_line, network, FLOAT32, setting)
        for mode in main:
            found[f"{network.name}, {mode.name}"] = partial(mode_line, network, mode, setting)
        if network is first:
            found["where the rest goes"] = partial(profile_line, network, COMPILED, setting)
    for network in every:
        found[f"{network.name}, batch sizes"] = partial(batches_line, network, BFLOAT16, setting)
    for network in every:
        found[f"{network.name}, peers in TF32"] = partial(peers_line, network, TF32, setting)
    for mode in rest:
        for network in every:
            found[f"{network.name}, {mode.name}"] = partial(mode_line, network, mode, setting)
    if not setting.tiny:
        for network in every:
            found[f"{network.name}, compiled without graphs"] = partial(ungraphed_line, network, setting)
    return found


def mode_line(network: Network, mode: Mode, setting: Setting) -> Record:
    """Row gradients per second of the search and of the bare loop, and rows per second to the first success."""
    batch = setting.size(_batch(network, mode), 4)
    with switches(mode), compiler(setting):
        searcher = _searcher(network, mode, batch, batch, setting)
        short, long = setting.size((SHORT, LONG), (2, 3))
        contenders = [
            Contender("bare loop", lambda: searcher.bare(short), lambda: searcher.bare(1)),
            Contender("hardset", lambda: searcher.run(short, "never"), lambda: searcher.run(1, "never")),
            Contender(_SAME_KERNELS, lambda: searcher.bare_alike(short), lambda: searcher.bare_alike(1)),
        ]
        times, results = take_turns(contenders, setting.size(_ROUNDS, 1), setting.settle)
        same = torch.equal(searcher.run(short, "never").images, results["hardset"].images)
        until = Contender(_FIRST, lambda: searcher.run(long, "success"), lambda: searcher.run(1, "success"))
        more, results = take_turns([until], 1, setting.settle)
    times |= more
    outcome = results[_FIRST]
    gradients = batch * short
    flops = network.gradient_flops()
    rates = {name: gradients / times[name].seconds for name in ("bare loop", "hardset", _SAME_KERNELS)}
    return {
        "network": network.name,
        "side": network.side,
        "mode": mode.name,
        "runs_in": searcher.network.note,
        "batch": batch,
        "steps": [short, long],
        "gradients_per_second": _rounded(rates["hardset"]),
        "bare_gradients_per_second": _rounded(rates["bare loop"]),
        "of_bare_loop": round(rates["hardset"] / rates["bare loop"], 3),
        "of_bare_loop_with_the_same_kernels": round(rates["hardset"] / rates[_SAME_KERNELS], 3),
        "all_steps_rows_per_second": _rounded(rates["hardset"] / short),
        "first_success_rows_per_second": _rounded(batch / times[_FIRST].seconds),
        "same_bits_twice": "yes" if same else "no",
        "fallen": round(float((outcome.rank > 1).mean()), 3),
        "gradients_per_row": round(float(outcome.gradients.mean()), 2),
        "gflops_per_gradient": round(flops / 1e9, 3),
        "tflops": round(rates["hardset"] * flops / 1e12, 2),
        "seconds": _seconds(times),
    }


def peers_line(network: Network, mode: Mode, setting: Setting) -> Record:
    """Rows per second of PGD-10 and PGD-40 of other libraries, which take every step, parameters frozen or not."""
    batch = setting.size(128, 4)
    rows = torch.from_numpy(network.pixels(batch)).permute(0, 3, 1, 2).contiguous().to(setting.device).float() / 255
    module = network.module(setting.device, frozen=False)
    with torch.no_grad():
        labels = module(rows).argmax(1)
    record: Record = {"network": network.name, "side": network.side, "mode": mode.name, "batch": batch, "peers": {}}
    for name in PEERS:
        record["peers"][name] = found = {}
        with switches(mode):
            for steps in setting.size((SHORT, LONG), (2, 3)):
                attack, warm = (peer(name, module, count, batch, rows) for count in (steps, 1))
                if attack is None or warm is None:
                    record["peers"][name] = MISSING
                    break
                contender = Contender(name, lambda run=attack: run(labels), lambda run=warm: run(labels))
                times, _ = take_turns([contender], 1, setting.settle)
                found[f"pgd_{steps}_rows_per_second"] = _rounded(batch / times[name].seconds)
    return record


def batches_line(network: Network, mode: Mode, setting: Setting) -> Record:
    """The search and the bare loop over batch sizes."""
    rates: Record = {}
    for batch in setting.size((32, 64, 128, 256, 512), (2, 4)):
        with switches(mode):
            searcher = _searcher(network, mode, batch, batch, setting)
            steps = setting.size(SHORT, 1)
            contenders = [
                Contender(
                    "bare loop", lambda one=searcher, count=steps: one.bare(count), lambda one=searcher: one.bare(1)
                ),
                Contender(
                    "hardset",
                    lambda one=searcher, count=steps: one.run(count, "never"),
                    lambda one=searcher: one.run(1, "never"),
                ),
            ]
            times, _ = take_turns(contenders, setting.size(_ROUNDS, 1), setting.settle)
        rates[str(batch)] = {name: _rounded(batch * steps / one.seconds) for name, one in times.items()}
    return {"network": network.name, "mode": mode.name, "gradients_per_second": rates}


def ungraphed_line(network: Network, setting: Setting) -> Record:
    """The bare loop compiled, but not in CUDA graphs: what the graphs bring."""
    batch, steps = 256, SHORT
    searcher = _searcher(network, BFLOAT16, batch, batch, setting)
    compiled = torch.compile(searcher.network.forward, dynamic=False)

    def bare(count: int) -> None:
        images = searcher.pixels.float() / 255
        for _ in range(count):
            point = images.clone().requires_grad_(True)
            loss = torch.nn.functional.cross_entropy(compiled(point), searcher.labels, reduction="sum")
            torch.autograd.grad(loss, point)

    times, _ = take_turns([Contender("bare", lambda: bare(steps), lambda: bare(1))], _ROUNDS, setting.settle)
    return {"network": network.name, "bare_gradients_per_second": _rounded(batch * steps / times["bare"].seconds)}


def profile_line(network: Network, mode: Mode, setting: Setting) -> Record:
    """Where the time of a search goes, kernel by kernel."""
    batch, steps = setting.size((256, SHORT), (4, 2))
    with switches(mode), compiler(setting):
        searcher = _searcher(network, mode, batch, batch, setting)
        searcher.run(2, "never")
        setting.settle()
        return {"network": network.name, "mode": mode.name} | profiled(lambda: searcher.run(steps, "never"), setting)


def _batch(network: Network, mode: Mode) -> int:
    """Rows that fill a large card; fewer where a pass takes seconds, so that all lines fit into the part's time."""
    if network.side < 64:
        return 1024
    return 256 if mode.precision == "bfloat16" else 64


def _searcher(network: Network, mode: Mode, batch: int, rows: int, setting: Setting) -> Searcher:
    return Searcher.of(network, mode, batch, network.pixels(rows), setting.device)


def _seconds(times: Mapping[str, Times]) -> dict[str, Sequence[float]]:
    return {name: [round(second, 5) for second in one.wall] for name, one in times.items()}


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")


PART = Part("fast", "speed beside a bare loop, other libraries and the card's peak", 180, lines)
