"""docs/gpu.md, written from docs/benchmarks/gpu.json: `python -m benchmarks.gpu.page`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.gpu.setting import ASKED, Record

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, FIGURES = DOCS / "gpu.md", DOCS / "benchmarks" / "gpu.json"
MISSING = "Not measured yet."
_HEAD = """\
# On a GPU

`make gpu` checks hardset on a CUDA device and measures it there, in eight minutes at most: whether the tests pass on
the device, how fast the search is beside a bare loop of gradients and beside other libraries, the other families, and
whole shards. It needs no network, reads nothing outside the project's folder, and does without Ray.
`make gpu ARGS="--only fast"` measures one part, `make gpu ARGS="--device cpu --tiny"` shows anywhere that all runs.

On a machine without a network, carry what its Python lacks: `make gpu-wheels` fills the folder `wheels`, and
`python -m benchmarks.gpu --wheels wheels` installs from there, into a temporary folder and without resolving anything.
Code and wheels together stay within 60 MiB; torch, numpy, pyarrow and pillow have to be there.

A search on CUDA uses deterministic kernels where torch has them. In float32 without compilation it runs in the
arithmetic of the verdicts, so TF32 is off; compiled, or with batch norms folded, it follows torch's own TF32 switches,
and its falls are confirmed.
"""


def text(figures: Record) -> str:
    """The whole page."""
    sections = [_HEAD, f"## Measured on\n\n{_machine(figures)}"]
    for name, (title, write) in SECTIONS.items():
        part = figures.get("parts", {}).get(name)
        sections.append(f"## {title}\n\n{write(part['lines']) if part else MISSING}")
    return "\n\n".join(section.strip() for section in sections) + "\n"


def write() -> None:
    """Rewrites the page from the figures that are kept."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    PAGE.write_text(text(figures), encoding="utf-8")


def _machine(figures: Record) -> str:
    machine = figures.get("machine")
    if machine is None:
        return MISSING
    card = f"{machine['accelerator']} ({machine['memory_gib']} GiB)" if machine["accelerator"] else machine["cpu"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    trial = " **A tiny trial: its figures mean nothing.**" if machine["tiny"] else ""
    return f"{card}, {machine['cores']} CPU cores, Python {machine['python']}, {versions}; {machine['date']}.{trial}"


def _right(lines: Mapping[str, Record]) -> str:
    tests = lines["tests"]
    told = _reason(tests)
    if told is None:
        told = f"{tests['tests_passed']} tests passed, {tests['tests_failed']} failed, {tests['tests_skipped']} skipped"
        told += "; **cut off, as the time was over**" if tests["cut_off"] else ""
        told += "".join(f"\n* failed: `{fault}`" for fault in tests["failures"])
        told += "".join(f"\n* skipped: {reason}" for reason in tests["skipped_as"])
        for name, recorded in tests["recorded"].items():
            values = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in recorded.items())
            told += f"\n* `{name}`: {values}"
    rows = [
        [name, one.get("runs_in", ""), _reason(one) or one["same_bits"], str(one.get("differing_values", ""))]
        for name, one in lines.items()
        if name != "tests"
    ]
    return f"{told}\n\n{_table(('search', 'runs in', 'same bits twice', 'differing values'), rows)}"


def _fast(lines: Mapping[str, Record]) -> str:
    peak = lines.get("peak", {})
    known = peak.get("datasheet_tflops") or peak.get("product_tflops")
    modes = {name: one for name, one in lines.items() if "of_bare_loop" in one}
    rows = [
        [
            f"{one['network']}, {one['side']} px",
            one["mode"],
            one["runs_in"],
            f"{one['gradients_per_second']:,.0f}",
            _met(one["of_bare_loop"], ASKED["of_bare_loop"], f"{one['of_bare_loop']:.2f}"),
            _figure(one.get("of_bare_loop_with_the_same_kernels")),
            f"{one['tflops']:.1f}" + (f" ({one['tflops'] / known:.0%})" if known else ""),
            f"{one['first_success_rows_per_second']:,.1f}",
            f"{one['gradients_per_row']:.1f}",
            one["same_bits_twice"],
        ]
        for one in modes.values()
    ]
    heads = (
        *("network", "mode", "runs in", "row gradients/s", "of the bare loop", "of one with the same kernels"),
        *("TFLOP/s (of the bf16 peak)", "rows/s to first success", "gradients per row", "same bits twice"),
    )
    parts = [_peak(peak), _table(heads, rows), _peers(lines, modes), _profile(lines), _batches(lines)]
    return "\n\n".join(part for part in [*parts, _not_measured(lines)] if part)


def _peak(peak: Record) -> str:
    if "product_tflops" not in peak:
        return ""
    known = peak["datasheet_tflops"]
    sheet = f"{known:g} TFLOP/s by the datasheet" if known else "not in the table of datasheets"
    return f"Dense bfloat16 products: {sheet}; one large product ran at {peak['product_tflops']:g} TFLOP/s."


def _peers(lines: Mapping[str, Record], modes: Mapping[str, Record]) -> str:
    """Times of the fastest mode over each library, PGD of all steps and of the longer search to first success."""
    rows = []
    for one in lines.values():
        if "peers" not in one:
            continue
        ours = [mode for mode in modes.values() if mode["network"] == one["network"]]
        for library, found in one["peers"].items():
            if isinstance(found, str) or not ours:
                rows.append([one["network"], library, one["mode"], found if isinstance(found, str) else "", "", ""])
                continue
            short, long = found.values()
            whole = max(mode["all_steps_rows_per_second"] for mode in ours) / short
            first = max(mode["first_success_rows_per_second"] for mode in ours) / long
            asked = library == "torchattacks" and one["mode"] == "float32" and one["side"] == 224
            rows.append([
                f"{one['network']}, {one['side']} px", library, one["mode"], f"{short:,.1f}",
                _met(whole, ASKED["all_steps"], f"{whole:.1f}x") if asked else f"{whole:.1f}x",
                _met(first, ASKED["first_success"], f"{first:.1f}x") if asked else f"{first:.1f}x",
            ])  # fmt: skip
    heads = (
        "network",
        "library",
        "its mode",
        "its rows/s, all steps",
        "hardset, all steps",
        "hardset, to first success",
    )
    return "hardset in its fastest mode beside other libraries:\n\n" + _table(heads, rows)


def _profile(lines: Mapping[str, Record]) -> str:
    one = lines.get("where the rest goes", {})
    if "kernels" not in one:
        return ""
    rows = [[f"`{kernel['name']}`", f"{kernel['share']:.1%}", str(kernel["calls"])] for kernel in one["kernels"]]
    idle = "" if one["idle_share"] is None else f"; the device did nothing in {one['idle_share']:.1%} of the time"
    return f"Where the time goes ({one['network']}, {one['mode']}{idle}):\n\n" + _table(
        ("kernel", "share", "calls"), rows
    )


def _batches(lines: Mapping[str, Record]) -> str:
    found = {name: one["gradients_per_second"] for name, one in lines.items() if name.endswith("batch sizes")
             and "gradients_per_second" in one}  # fmt: skip
    if not found:
        return ""
    sizes = list(dict.fromkeys(size for rates in found.values() for size in rates))
    rows = [
        [name.partition(",")[0], *(f"{rates[size]['hardset']:,.0f}" if size in rates else "" for size in sizes)]
        for name, rates in found.items()
    ]
    return "Row gradients/s of the search in bfloat16, by batch size:\n\n" + _table(("network", *sizes), rows)


def _families(lines: Mapping[str, Record]) -> str:
    parts = []
    for name in ("adversarial training", "adversarial training, compiled"):
        training = lines.get(name, {})
        if "images_per_second" not in training:
            continue
        rows = [[way, f"{rate:,.1f}"] for way, rate in training["images_per_second"].items()]
        over = _met(training["over_rival"], ASKED["training"], f"{training['over_rival']:.1f}x")
        parts.append(
            f"{name.capitalize()}, of {training['network']}, PGD-{training['steps']}, batch {training['batch']}: "
            f"{training['ours']} is {over} the loop beside it ({training['beside']}; torchattacks: "
            f"{training['torchattacks']}).\n\n" + _table(("loop", "images/s"), rows)
        )
    augmented = lines.get("augmentation", {})
    if "sizes" in augmented:
        rows = [
            [f"{side} px", *(f"{rate:,.0f}" for rate in one["rows_per_second"].values()), f"{one['over_kornia']:.2f}x"]
            for side, one in augmented["sizes"].items()
        ]
        chain = ", ".join(augmented["operations"])
        parts.append(f"Augmentation ({chain}):\n\n" + _table(("rows", "hardset, rows/s", "kornia", "hardset"), rows))
    gan = lines.get("GAN", {})
    if "figures" in gan:
        trained = f"{gan['steps']:,} steps in {gan['seconds']:.0f} s" if "steps" in gan else "a trial"
        figures = ", ".join(f"{name} {value:g}" for name, value in gan["figures"].items())
        parts.append(
            f"GAN on the bundled digits: {trained} ({gan['steps_per_second']:,.0f} steps/s); {figures}. Sampling: "
            f"{gan['sampled_rows_per_second']:,.0f} rows/s."
        )
    return "\n\n".join([*parts, _not_measured(lines)]).strip()


def _whole(lines: Mapping[str, Record]) -> str:
    parts = []
    one = lines.get("one worker", {})
    if "busy" in one:
        busy = ", ".join(f"{name} {share:.0%}" for name, share in one["busy"].items())
        parts.append(
            f"One worker, JPEG of {one['jpeg_bytes']:,} bytes to Parquet of {one['parquet_bytes']:,} bytes a row, "
            f"PGD in bfloat16: {one['rows_per_second']:,.1f} rows/s, bound by {one['bound']} (busy: {busy}). "
            f"{one['cores_feeding_one_device']:g} CPU cores keep one device fed."
        )
    for name, run in lines.items():
        if "actors" in run:
            rate = run["rows_per_second"] or 0
            parts.append(
                f"{name}: {run['actors']} actors, {rate:,.1f} rows/s, bound by {run['bound']} ({run['status']})."
            )
    return "\n\n".join([*parts, _not_measured(lines)]).strip()


SECTIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Record]], str]]] = {
    "right": ("Right", _right),
    "fast": ("Fast", _fast),
    "families": ("The other families", _families),
    "whole": ("Whole runs", _whole),
}
"""Parts by name, in the order of the page."""


def _reason(line: Record) -> str | None:
    return next((f"{key.replace('_', ' ')}: {line[key]}" for key in ("failed", "left_out") if key in line), None)


def _not_measured(lines: Mapping[str, Record]) -> str:
    return "\n".join(f"* {name}: {reason}" for name, one in lines.items() if (reason := _reason(one)))


def _met(value: float, wanted: float, shown: str) -> str:
    return f"{shown} (asked: {wanted:g})" if value >= wanted else f"**{shown}** (asked: {wanted:g})"


def _figure(value: float | None) -> str:
    """Two decimals; empty in a line of figures from before it was measured."""
    return "" if value is None else f"{value:.2f}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    write()
