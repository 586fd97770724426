"""Collects the training rows of a round from splits and shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.loading.mixture import CLEAN, TrainingRows
from hardset.pipeline.loading.parts import RowsOfKind, joined
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.made_rows import read_made_rows
from hardset.pipeline.training.methods import method_of
from hardset.pipeline.training.split_rows import Splits
from hardset.schemas.digests import row_seed
from hardset.schemas.job.job import Job
from hardset.schemas.job.training import Train
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED


def clean_part(rows: CleanRows, seed: int) -> RowsOfKind:
    """Clean rows for training, with row seeds derived from their keys."""
    seeds = [row_seed(run_seed=seed, recipe="train", source_key=key, variant=0) for key in rows.keys]
    return RowsOfKind(rows.pixels, rows.labels, np.asarray(seeds, np.int64))


def training_rows(job: Job, settings: Train, splits: Splits, runs: Sequence[str], number: int) -> TrainingRows:
    """Training rows of round `number`. `runs`: the runs of all rounds so far, this one's last; empty for other methods.

    Raises JobError if rows do not fit the model or are made from validation or test rows.
    """
    parts = {CLEAN: clean_part(splits.train, job.seed)}
    if not method_of(settings).declaration.made_rows:
        return TrainingRows(parts, settings.batch, _seed(job.seed, 0))
    out = Folder(job.output.path)
    newest = _read(out, splits, frozenset(runs[-1:]))
    others = [_read(out, splits, frozenset(runs[:-1]))] if runs[:-1] else []
    others += [_read(Folder(url), splits, None) for url in settings.data]
    everything = [newest, *others]
    parts |= {
        kind: part
        for kind, part in {
            "newest": _part([newest], ADVERSARIAL),
            "older": _part(others, ADVERSARIAL),
            "augmented": _part(everything, AUGMENTED),
            "generated": _part(everything, GENERATED),
        }.items()
        if part is not None
    }
    return TrainingRows(parts, settings.batch, _seed(job.seed, number), settings.mix.shares())


def _read(folder: Folder, splits: Splits, runs: frozenset[str] | None) -> Mapping[str, RowsOfKind]:
    return read_made_rows(folder, classes=splits.classes, image=splits.image, forbidden=splits.forbidden, runs=runs)


def _part(made: Sequence[Mapping[str, RowsOfKind]], kind: str) -> RowsOfKind | None:
    found = [rows[kind] for rows in made if kind in rows]
    return joined(found) if found else None


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
