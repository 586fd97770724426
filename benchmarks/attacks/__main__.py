"""Runs the attack benchmark and writes docs/benchmarks/attacks.json and the sections of docs/benchmarks.md.

    make bench-attacks
    python -m benchmarks.attacks [--only speed|strength|stored] [--quick] [--full] [--resume] [--data FOLDER]

All parts take about 15 minutes on two idle cores. --quick checks in a few minutes that everything runs and writes to a
temporary folder. --full takes most of an hour: it adds `standard` in floats and on the second model, compared with
torchattacks' AutoAttack, and ten restarts on all rows, compared with foolbox. --resume continues an interrupted run;
--lines measures the matching lines again and keeps the others. Libraries that are not installed and published models
whose folder is absent are left out.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from benchmarks.attacks import speed, stored, strength
from benchmarks.attacks.cases import Published
from benchmarks.attacks.context import Book, Context
from benchmarks.attacks.machine import describe
from benchmarks.attacks.page import filled

PARTS = {"speed": speed.lines, "strength": strength.lines, "stored": stored.lines}
CHECKOUT = Path(__file__).resolve().parents[2]


def parsed() -> argparse.Namespace:
    """Parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; may be repeated")
    parser.add_argument("--lines", help="measure only lines whose name contains this text; keep the others")
    parser.add_argument("--quick", action="store_true", help="few rows, one round, written to a temporary folder")
    parser.add_argument("--full", action="store_true", help="include the measurements that take many minutes")
    parser.add_argument("--resume", action="store_true", help="skip lines that the JSON already has")
    parser.add_argument("--data", type=Path, default=CHECKOUT.parent / "shared" / "data", help="published models")
    parser.add_argument("--out", type=Path, help="folder of benchmarks.md and benchmarks/; default: docs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="number of torch threads; default: number of cores")
    return parser.parse_args()


def main() -> None:
    """Measures the requested lines one by one and rewrites the page after each."""
    arguments = parsed()
    warnings.filterwarnings("ignore")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    context = Context(Published(arguments.data), torch.device(arguments.device), arguments.quick, arguments.full)
    docs = CHECKOUT / "docs"
    out = arguments.out or (Path(tempfile.mkdtemp(prefix="bench-attacks-")) if arguments.quick else docs)
    if out != docs and not (out / "benchmarks.md").exists():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(docs / "benchmarks.md", out)
    book, page = Book(out / "benchmarks" / "attacks.json"), out / "benchmarks.md"
    for part in arguments.only or PARTS:
        if not (arguments.resume or arguments.lines):
            book.clear(part)
        todo = {name: line for name, line in PARTS[part](context).items() if (arguments.lines or "") in name}
        if todo:
            book.note(part, machine=describe(context.device) | {"quick": arguments.quick})
        for name, measure in todo.items():
            book.line(part, name, measure, resume=arguments.resume)
            page.write_text(filled(page.read_text(encoding="utf-8"), book.read()), encoding="utf-8")
    print(f"{page}: written")


if __name__ == "__main__":
    main()
