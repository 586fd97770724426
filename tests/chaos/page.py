"""Writes docs/faults.md from the report of the last run of the suite: python -m tests.chaos.page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.chaos.faults import FAULTS

DOCS = Path(__file__).resolve().parents[2] / "docs"

FEWEST = 100
"""Faults without which a run of the suite is not worth a page."""

INTRODUCTION = """# Faults

This page lists the faults that `make chaos` injects while datasets are made, and what must hold afterwards. The suite
runs real processes of the command line, a real Ray cluster of several raylets on one machine, and a real S3 API (moto's
server behind a proxy that fails on demand). Victims and times are drawn from a seed, which is printed;
`HARDSET_CHAOS_SEED` sets it. A shorter suite is part of the normal tests. `python -m tests.chaos.page` writes this page
from `docs/benchmarks/chaos.json`.

After its faults each dataset is finished, by the run itself or by one more start. Then

* its data and quarantine files equal those of an undisturbed run, by name and SHA-256 (in the shard that holds the
  lethal image, all rows but that one are equal),
* quarantine holds exactly the rows that cannot be made,
* every exit code was correct, and no start ended in a traceback,
* `hardset verify` finds no fault.
"""

COMPARISON = """## What other projects test

Taken from the code of datatrove 0.10.0, img2dataset 1.47.0, NeMo Curator 1.3.0, cosmos-xenna 0.5.9 and Ray Data 2.58. None
of the first four kills a process and then compares the bytes of its output.

| | how faults are tested | an input that fails every time |
|---|---|---|
| hardset | the table above: processes killed and frozen, bytes compared | the one row is in quarantine, its neighbours are delivered |
| datatrove | exceptions, with `ray.get` patched; no process is killed | the whole rank fails |
| img2dataset | not tested | the error is printed, the row is missing |
| NeMo Curator | a stage returns `FailedTask`; no process is killed | the source file stays open and runs again next time |
| cosmos-xenna | one test with a real segfault, unit tests of the bookkeeping | dropped after 3 retries, with the innocent tasks in flight |
| Ray Data | release tests that kill raylets, workers and EC2 machines | with `max_errored_blocks`, its whole block is dropped and only logged; `sys.exit` then [hangs the run](https://github.com/ray-project/ray/issues/62746) |
"""  # noqa: E501  rows of a table


def page(report: dict[str, Any]) -> str:
    """The page for a report."""
    struck = report["faults"]
    trials = report["trials"]
    same = sum(trial["unharmed"] for trial in trials)
    machine = f"{report['machine']['cores']} cores, Python {report['machine']['python']}"
    lines = [
        INTRODUCTION,
        "## The last run",
        "",
        f"**{report['total']} faults in {len(trials)} datasets, {same} of which had the bytes of an undisturbed run**; "
        f"{report['seconds']:.0f} s on {machine}, seed `{report['seed']}`.",
        "",
        "| fault | how it is injected | what is promised | struck |",
        "|---|---|---|--:|",
        *(f"| {f.name} | {f.injected} | {f.promise} | {struck.get(f.name, 0)} |" for f in FAULTS),
        "",
        "| dataset | faults | starts | exit codes | files | same bytes | seconds |",
        "|---|--:|--:|---|--:|---|--:|",
        *(_row(trial) for trial in trials),
        "",
        COMPARISON,
    ]
    return "\n".join(lines)


def _row(trial: dict[str, Any]) -> str:
    name, codes = trial["name"].replace("_", " "), ", ".join(map(str, trial["exit_codes"]))
    same = "yes" if trial["unharmed"] else "**no**"
    faults = sum(trial["faults"].values())
    return f"| {name} | {faults} | {trial['starts']} | {codes} | {trial['files']} | {same} | {trial['seconds']:.0f} |"


if __name__ == "__main__":
    report = json.loads((DOCS / "benchmarks" / "chaos.json").read_text(encoding="utf-8"))
    if report["total"] < FEWEST:
        raise SystemExit(f"{report['total']} faults struck; a whole run has at least {FEWEST}")
    (DOCS / "faults.md").write_text(page(report), encoding="utf-8")
