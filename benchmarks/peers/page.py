"""The figures as a page."""

from __future__ import annotations

from typing import Any

CALLED = {
    "hardset": "`hardset generate`",
    "ray_torchattacks": "Ray Data and torchattacks",
    "ray_foolbox": "Ray Data and foolbox",
    "pool_loop": "`multiprocessing` and torchattacks",
    "ray_albumentations": "Ray Data and albumentations",
}
FEWEST = 3
"""Rounds below which a median tells nothing."""
LACKS = (
    "What the peers' rows lack, and hardset's have: the source row that each was made from and its "
    "seed, so that it can "
    "be made again; a verdict on the stored pixels rather than on floats; a budget that holds after "
    "rounding; runs that "
    "go on where they stopped, files that readers never see in part, and a record of what could not "
    "be read. `fooled` is "
    "the share of the rows that the model gets right, and gets wrong as stored; `lost` the share of "
    "the rows that fooled "
    "it in floats and do not as stored; `over budget` the share further than eps from any source row. All three are "
    "judged from the PNG bytes by plain torch."
)


def page(figures: dict[str, Any]) -> str:
    """Markdown of all cases."""
    machine = figures["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in figures["libraries"].items())
    lines = [
        "# Whole pipelines of others",
        "",
        "The same real rows, models, steps and two workers of one thread each, of the same niceness; PNG in Parquet; "
        f"every run a process of its own. {machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, Ray "
        f"{machine['ray']}, {libraries}. hardset runs with its defaults, but for several budgets, where a row stops at "
        "its first success. Medians of runs in turns, each from the start of its process to its end; CPU seconds are "
        "those of all its processes, and where the machine is busy they tell more than the clock. The pipelines are in "
        "`benchmarks/peers/written.py`. Written by `python -m benchmarks.peers`.",
    ]
    for case in figures["cases"].values():
        lines += ["", f"## {case['title']}", "", told(case, machine["cores"]), ""]
        attacked = any(case["stored"].values())
        lines.append(
            "| pipeline | s | CPU s | rows/s | rows per CPU s | MB | hardset's ratio | by CPU |"
            + (" fooled | lost | over budget |" if attacked else "")
        )
        lines.append("|---|---|---|---|---|---|---|---|" + ("---|---|---|" if attacked else ""))
        for name, median in case["medians"].items():
            ratio = case["ratios"].get(name)
            line = (
                f"| {CALLED[name]} | {median['seconds']:.1f} | {median['cpu_seconds']:.1f} | "
                f"{median['rows_per_s']:.1f} | {median['rows_per_cpu_s']:.1f} | {median['megabytes']:.2f} | "
            )
            line += f"{ratio['rows_per_s']:.2f} | {ratio['rows_per_cpu_s']:.2f} |" if ratio else " | |"
            if attacked:
                shares = case["stored"][name]
                line += "".join(f" {shares[share]:.1f} % |" for share in ("fooled", "lost", "over_budget"))
            lines.append(line)
    return "\n".join([*lines, "", LACKS, ""])


def told(case: dict[str, Any], cores: int) -> str:
    """Rows, rounds, date and load of a case, in a sentence."""
    busy = "; the machine was busy with other work" if case["load"] > 2 * cores else ""
    made = f", {case['made']:,} to make" if case["made"] != case["rows"] else ""
    load, rounds = f"load {case['load']:.1f} at the end{busy}", case["rounds"]
    told = f"{case['rows']:,} rows{made}, {rounds} round{'s' * (rounds != 1)}, {case['date']}, {load}."
    if rounds < FEWEST:
        told += " So few rounds show that all of it runs and what it costs about, and no ratio to rely on."
    return f"{told} Most of the seconds of so few rows go into starting processes, and importing torch and Ray in each."
