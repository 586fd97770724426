"""What augmentation is good for: a small network trained with and without, on CIFAR-10 and under corruptions.

    python -m benchmarks.augment.training [--data FOLDER] [--epochs 15] [--seeds 3] [--test 500] [--resume] [--out FILE]

Writes docs/benchmarks/augment_training.json, which `python -m docs.tables` makes the table in docs/augmentations.md of.
Reads FOLDER/cifar10_test_jpeg.parquet, the 10,000 test images of CIFAR-10: 8,000 for training, the others for testing.
One thread; about five minutes of CPU time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from benchmarks.attacks.context import Book
from benchmarks.hardening import machine
from torch import nn

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.evaluation.conditions import corrupted
from hardset.pipeline.evaluation.measure import Settings, judged
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind
from hardset.pipeline.models.zoo import cnn_a
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.training.epochs import Course, train
from hardset.schemas.digests import row_seed
from hardset.schemas.job.operations.corruptions import BAR, COMMON
from hardset.schemas.job.sources import ParquetSource
from hardset.schemas.job.training import Train

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FIGURES = Path(__file__).parents[2] / "docs" / "benchmarks" / "augment_training.json"
SECTION = "training"
TRAIN_ROWS, CLASSES = 8000, 10
FLIPS = ({"name": "hflip"}, {"name": "crop", "padding": 4})
ARMS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "none": (),
    "flips and crops": FLIPS,
    "flips, crops and RandAugment": (*FLIPS, {"name": "rand_augment"}),
    "flips, crops and AugMix": (*FLIPS, {"name": "aug_mix"}),
}
"""Operations that clean rows go through, drawn again in every epoch."""
FAMILIES = {"c": COMMON, "c_bar": BAR}
SEVERITIES = (1, 3, 5)
SETTINGS = Settings(batch=500)


def main() -> None:
    """Trains and measures the networks one by one, a seed after the other, and keeps the figures of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of cifar10_test_jpeg.parquet")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=500, help="number of test rows")
    parser.add_argument("--resume", action="store_true", help="skip networks that the JSON already has")
    parser.add_argument("--out", type=Path, default=FIGURES)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    book = Book(asked.out)
    if not asked.resume:
        book.clear(SECTION)
    learnt, tested = rows_of(asked.data / "cifar10_test_jpeg.parquet", asked.test)
    told = {"train_rows": len(learnt), "test_rows": len(tested), "epochs": asked.epochs, "severities": SEVERITIES}
    book.note(SECTION, machine=machine(), **told)
    conditions = list(_conditions(tested))
    for seed in range(1, asked.seeds + 1):
        for arm in ARMS:
            book.line(
                SECTION,
                f"{arm} #{seed}",
                partial(measured, arm, seed, learnt, asked.epochs, conditions, tested.labels),
                resume=asked.resume,
            )


def rows_of(file: Path, test: int) -> tuple[CleanRows, CleanRows]:
    """The first 8,000 rows for training, and `test` of the others."""
    source = open_source(ParquetSource(path=str(file), limit=TRAIN_ROWS + test))
    image = source.probe()
    parts = [source.read(one, image, CLASSES)[0] for one in source.plan(TRAIN_ROWS)]
    whole = CleanRows(
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keys=tuple(key for part in parts for key in part.keys),
        indices=np.concatenate([part.indices for part in parts]),
    )
    return _cut(whole, slice(0, TRAIN_ROWS)), _cut(whole, slice(TRAIN_ROWS, None))


def _cut(rows: CleanRows, part: slice) -> CleanRows:
    return CleanRows(rows.pixels[part], rows.labels[part], rows.keys[part], rows.indices[part])


def trained(arm: str, seed: int, rows: CleanRows, epochs: int) -> nn.Module:
    """A network trained on rows as an arm augments them, in eval mode."""
    torch.manual_seed(seed)
    module = cnn_a(CLASSES)
    seeds = [row_seed(run_seed=seed, recipe="train", source_key=key, variant=0) for key in rows.keys]
    settings = Train(method="standard", batch=128, augment=ARMS[arm])
    part = RowsOfKind(rows.pixels, rows.labels, np.asarray(seeds, np.int64))
    course = Course(settings, attack=None, seed=seed, epochs=epochs, stop=epochs)
    train(module, TrainingRows({"clean": part}, settings.batch, seed), course, device=torch.device("cpu"))
    return module.eval()


def measured(
    arm: str, seed: int, rows: CleanRows, epochs: int, conditions: Sequence[tuple[str, Pixels]], labels: Classes
) -> dict[str, Any]:
    """Accuracy of a network on clean rows, and its mean over each family of corruptions; all see the same rows."""
    module = trained(arm, seed, rows, epochs)
    found: dict[str, list[float]] = {}
    for what, pixels in conditions:
        found.setdefault(what, []).append(accuracy(module, pixels, labels))
    return {what: sum(values) / len(values) for what, values in found.items()}


def _conditions(rows: CleanRows) -> Iterator[tuple[str, Pixels]]:
    """Rows as they are, then under each corruption of each family at each severity."""
    yield "clean", rows.pixels
    keys = [row_seed(run_seed=0, recipe="corruption", source_key=key, variant=0) for key in rows.keys]
    seeds = np.asarray(keys, np.int64)
    for family, names in FAMILIES.items():
        for name in names:
            for severity in SEVERITIES:
                yield family, corrupted(rows.pixels, seeds, name, severity)


def accuracy(module: nn.Module, pixels: Pixels, labels: Classes) -> float:
    """Share of rows that the network classifies correctly."""
    return float((judged(module, pixels, labels, SETTINGS).pred == labels).mean())


if __name__ == "__main__":
    main()
