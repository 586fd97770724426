"""Checks hardset on a CUDA device and writes docs/benchmarks/gpu.json and docs/gpu.md.

    make gpu
    make gpu ARGS="--only fast"
    make gpu ARGS="--device cpu --tiny"
    python -m benchmarks.gpu [--only right|fast|families|whole] [--device cuda[:N]|cpu] [--tiny] [--to FILE]
                             [--wheels FOLDER]

Eight minutes on one card at most; nothing is fetched and nothing is read from outside the project's folder. Needs torch
(2.9 or newer) and hardset's other core libraries except Ray, typer and rich; what a machine lacks is installed from
--wheels, which `make gpu-wheels` fills, into a temporary folder. The JSON is rewritten after every line, so that an
interruption costs one line. On a CPU, and with --tiny, it is written to a temporary folder unless --to says where.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "benchmarks" / "gpu.json"
PARTS = ("right", "fast", "families", "whole")
_NEEDED = ("torch", "numpy", "pydantic", "fsspec", "pyarrow", "PIL", "yaml", "safetensors", "kornia")


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts alone; may be repeated")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--tiny", action="store_true", help="small networks, few rows: shows that everything runs")
    parser.add_argument("--to", type=Path, help="the JSON file to write; by default docs/benchmarks/gpu.json")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install what this machine lacks from")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs the parts asked for; 0 where all lines ran and all tests passed, 1 where not, 2 where it cannot start."""
    given = parsed(arguments)
    sys.path.insert(0, str(ROOT / "src"))
    if given.wheels is not None:
        from benchmarks.gpu.wheels import install  # noqa: PLC0415 (needs nothing that it installs)

        sys.path.append(str(install(given.wheels)))
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; carry wheels (`make gpu-wheels`, then --wheels wheels)")
        return 2
    return measured(given)


def measured(given: argparse.Namespace) -> int:
    """Runs the parts; imports torch and hardset, which by now are there."""
    import torch  # noqa: PLC0415
    from benchmarks.gpu import families, fast, page, right, whole  # noqa: PLC0415
    from benchmarks.gpu.card import describe  # noqa: PLC0415
    from benchmarks.gpu.runner import Book, run_part  # noqa: PLC0415
    from benchmarks.gpu.setting import Setting  # noqa: PLC0415

    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here; --device cpu --tiny shows that everything runs")
        return 2
    if device.type == "cpu":
        torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    trial = given.tiny or device.type == "cpu"
    to = given.to or (Path(tempfile.mkdtemp(prefix="hardset-gpu-")) / FIGURES.name if trial else FIGURES)
    setting, book = Setting(device, given.tiny), Book(to)
    book.machine(describe(setting))
    parts = {part.name: part for part in (right.PART, fast.PART, families.PART, whole.PART)}
    faults = 0
    for name in given.only or PARTS:
        record = run_part(parts[name], setting, book)
        faults += sum("failed" in line or bool(line.get("tests_failed")) for line in record["lines"].values())
    print(f"{to}: written")
    if to == FIGURES:
        page.write()
        print(f"{page.PAGE}: written")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
