"""Tries every warning of an evaluation on models with known faults and with none.

    python -m benchmarks.doubts --data FOLDER [--work FOLDER] [--rows 100] [--only NAME ...]

FOLDER holds published weights and images, as for benchmarks.evaluation; without it the published networks are left out.
Writes docs/benchmarks/doubts.json and the table of docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.doubts.cases import Case, disguised, published, trained
from benchmarks.doubts.trying import tried
from docs import tables

from hardset.pipeline.dataset.provenance.environment import versions

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "doubts.json"


def main() -> None:
    """Evaluates every case with a curve of budgets and without, and prints what is told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, help="folder of weights and evaluations, so that a second start goes on")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--out", type=Path, default=TARGET)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = asked.work or Path(made)
        cases = disguised(work / "models") + trained(work / "models")
        cases += published(asked.data, asked.rows) if asked.data else []
        found = [_told(case, work) for case in cases if not asked.only or case.name in asked.only]
    if asked.only:
        return
    asked.out.write_text(json.dumps({"versions": versions(), "models": found}, indent=1) + "\n", encoding="utf-8")
    tables.main()


def _told(case: Case, work: Path) -> dict[str, Any]:
    found = tried(case, work / "evaluations")
    print(case.name, json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    main()
