"""Hardens a small network on CIFAR-10 (Linf 4/255) within minutes of CPU time.

    python -m benchmarks.hardening_cifar [--data FOLDER] [--resume] [--out FOLDER]

Writes docs/benchmarks/hardening_cifar.json and the table of docs/hardening.md. Reads FOLDER/cifar10_test_jpeg.parquet,
the 10,000 test images of CIFAR-10: 8,000 for training, a tenth of them held out, and 2,000 for testing. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from benchmarks.attacks.context import Book
from benchmarks.hardening import between, machine, made_here

from hardset.pipeline.hardening.loop import HardeningOutcome, harden
from hardset.pipeline.statistics.shares import share
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.hardening import Score

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EPS, TRAIN_ROWS = "4/255", 8000
ARMS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "clean": ("clean model", 1, {"method": "standard", "epochs": 16}),
    "loop_8": ("loop of 8 rounds", 8, {"method": "shards", "epochs": 2}),
    "pgd_at": (
        "`pgd_at` on the fly",
        4,
        {"method": "pgd_at", "epochs": 4, "attack": {"name": "pgd", "eps": EPS, "steps": 7}},
    ),
}
"""Title, number of rounds and train section of each arm; all but the first start from the clean model."""


def main() -> None:
    """Measures the lines one by one and rewrites the page after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of cifar10_test_jpeg.parquet")
    parser.add_argument("--resume", action="store_true", help="skip lines that the JSON already has")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of hardening.md and benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    book, page = Book(arguments.out / "benchmarks" / "hardening_cifar.json"), arguments.out / "hardening.md"
    with tempfile.TemporaryDirectory(prefix="bench-cifar-") as folder:
        split(arguments.data / "cifar10_test_jpeg.parquet", Path(folder) / "source")
        book.note("cifar", machine=machine())
        for name in ARMS:
            book.line("cifar", name, partial(measured, name, Path(folder)), resume=arguments.resume)
            if page.exists():
                text = between(page.read_text(encoding="utf-8"), "cifar", table(book.read()["cifar"]["lines"]))
                page.write_text(text, encoding="utf-8")


def split(file: Path, folder: Path) -> None:
    """Writes the rows as a train and a test file."""
    folder.mkdir()
    rows = pq.read_table(file)
    pq.write_table(rows.slice(0, TRAIN_ROWS), folder / "train-00000.parquet", row_group_size=500)
    pq.write_table(rows.slice(TRAIN_ROWS), folder / "test-00000.parquet", row_group_size=500)


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Clean accuracy and accuracy under 20 steps of PGD on the test rows, before and after the arm's training."""
    start = None
    if name != "clean":
        found = run("clean", folder, None)
        assert found.record is not None
        start = found.home.url(found.record.weights.path)
    began = time.process_time()
    outcome = run(name, folder, start)
    assert outcome.record is not None
    record = outcome.record
    return {
        "clean": counted(record.after.clean),
        "robust": counted(record.after.robust),
        "before": counted(record.before.robust),
        "best_round": record.best,
        "gradients": sum(one.training_gradients for one in outcome.home.rounds()),
        "cpu_seconds": time.process_time() - began,
    }


def counted(score: Score) -> list[int]:
    """Number of rows counted, and the total."""
    return [score.rows, score.of]


def run(name: str, folder: Path, start: str | None) -> HardeningOutcome:
    """Runs the loop of an arm, or reads back a finished one."""
    return harden(job(name, folder, start), make=made_here)


def job(name: str, folder: Path, start: str | None) -> Job:
    """Job file of an arm."""
    _, rounds, train = ARMS[name]
    return parse_job(
        {
            "name": f"cifar-{name}",
            "seed": 1,
            "source": {"format": "parquet", "path": str(folder / "source")},
            "model": {
                "factory": "hardset.pipeline.models.zoo:cnn_a",
                "classes": 10,
            }
            | ({} if start is None else {"weights": start}),
            "recipes": [{"kind": "attack", "name": "pgd", "eps": EPS, "steps": 10}],
            "output": {"path": str(folder / name)},
            "train": {
                "batch": 128,
                "ema": 0.995,
                "augment": [{"name": "hflip"}, {"name": "crop", "padding": 4}],
                **train,
            },
            "harden": {
                "rounds": rounds,
                "validation": {"fraction": 0.1},
                "attacks": [{"name": "pgd", "eps": EPS, "steps": 20}],
            },
        }
    )


def table(lines: dict[str, Any]) -> str:
    """One line per arm, accuracies with 95 % intervals."""
    rows = ["| method | clean | PGD-20 | gain | gradients | CPU s |", "|---|---|---|---|---|---|"]
    for name, (title, _, _) in ARMS.items():
        if name in lines:
            line = lines[name]
            clean, robust, before = (share(*line[key]) for key in ("clean", "robust", "before"))
            gain = "-" if name == "clean" else f"{100 * (robust.value - before.value):+.1f} points"
            cells = [told(clean), f"**{told(robust)}**", gain, f"{line['gradients']:,}", f"{line['cpu_seconds']:.0f}"]
            rows.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(rows)


def told(found: Any) -> str:
    """Accuracy with its interval, as `41.2 % (39.1 to 43.4)`."""
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


if __name__ == "__main__":
    main()
