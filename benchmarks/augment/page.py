"""The figures as a page of the docs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.augment.contenders import LIBRARIES


def ratios(rates: Iterable[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """hardset over the best of two or more libraries, and over kornia, for the operations that they have."""
    best, kornia = [], []
    for line in rates:
        others = [line[name] for name in LIBRARIES if line.get(name)]
        if len(others) > 1:
            best.append(line["hardset"] / max(others))
        if line.get("kornia"):
            kornia.append(line["hardset"] / line["kornia"])
    return best, kornia


def targets(figures: dict[str, Any]) -> list[tuple[str, float, str]]:
    """What is asked, what was measured, and the least that is asked."""
    large, small = figures["sides"].get("224", {}), figures["sides"].get("32", {})
    found = []

    def ratio(rates: dict[str, Any], name: str, other: str) -> float | None:
        line = rates.get(name, {})
        return line["hardset"] / line[other] if line.get(other) else None

    chain = "chain: flip, rotate, crop, noise"
    for what, value, least in (
        ("224 px chain over albumentations", ratio(large, chain, "albumentations"), 1.5),
        ("32 px chain over kornia", ratio(small, chain, "kornia"), 1.5),
        ("224 px noise over albumentations", ratio(large, "gaussian_noise", "albumentations"), 1.5),
        ("224 px flip over albumentations", ratio(large, "hflip", "albumentations"), 0.5),
        ("224 px crop over albumentations", ratio(large, "crop", "albumentations"), 0.5),
    ):
        if value is not None:
            found.append((what, value, f"{least:g}"))
    best, kornia = ratios(large.values())
    if best:
        what = f"224 px, median of {len(best)} shared operations over the best library"
        found.append((what, statistics.median(best), "1"))
    if kornia:
        found.append(("224 px, median over kornia", statistics.median(kornia), "2"))
    if large:
        found.append(("224 px glass blur, rows/s", large["glass_blur"]["hardset"], "40"))
    if figures.get("end_to_end"):
        found.append(("end to end, share of augmentation (at most)", figures["end_to_end"]["share"], "0.4"))
    return found


def text(figures: dict[str, Any]) -> str:
    """The page."""
    machine, parts = figures["machine"], []
    parts.append("# Augmentation beside other libraries\n")
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    parts.append(
        f"Rows per second of one thread, medians of {figures['rounds']} rounds whose order changes, each at least "
        f"{figures['seconds']:g} seconds of CPU time, on a photograph; each operation on every row, uint8 in and out. "
        f"hardset's time includes drawing and the JSON of `params`. {machine['cpu']}; {versions}. "
        "Written by `python -m benchmarks.augment`.\n"
    )
    parts.append("| asked of | measured | asked | met |\n|---|---|---|---|")
    for what, value, least in targets(figures):
        met = value <= float(least) if "at most" in what else value >= float(least)
        parts.append(f"| {what} | {value:.2f} | {least} | {'yes' if met else '**no**'} |")
    for side, rates in figures["sides"].items():
        parts.append(f"\n## {side} x {side} pixels\n")
        parts.append("| operation | hardset | " + " | ".join(LIBRARIES) + " | over the best |")
        parts.append("|---|---|" + "---|" * len(LIBRARIES) + "---|")
        for name, line in rates.items():
            others = [line[one] for one in LIBRARIES if line.get(one)]
            over = f"{line['hardset'] / max(others):.2f}" if others else ""
            cells = [
                f"{line[one]:,.0f}" if line.get(one) else line.get(f"{one}_fault", "")
                for one in ("hardset", *LIBRARIES)
            ]
            parts.append(f"| {name} | " + " | ".join(cells) + f" | {over} |")
    if whole := figures.get("end_to_end"):
        parts.append("\n## End to end\n")
        parts.append(
            f"{whole['rows']} photographs of {whole['side']} pixels from JPEG files to committed Parquet, RandAugment, "
            f"one worker: {whole['rows_per_second']:.0f} rows/s. Seconds by stage: "
            + ", ".join(f"{name} {seconds:.2f}" for name, seconds in whole["stages"].items())
            + f". Augmentation takes {whole['share']:.0%} of the time."
        )
    parts.append(
        "\nThe libraries do not do quite the same: kornia and torchvision work on tensors, albumentations on arrays; "
        "noise of theirs is not keyed by the row; sizes of kernels were chosen alike. Operations that fewer "
        "than two of them have count for no median over the best."
    )
    return "\n".join(parts) + "\n"
