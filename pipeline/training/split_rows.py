"""Who is trained on and who judges: rows by split, a hold-out where there is no validation split, and no leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hardset.pipeline.batches import CleanRows, joined
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.sources.table import at_version, open_source, version_of
from hardset.schemas.errors import JobError
from hardset.schemas.job.hardening import HeldOutShare
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import HoldOut, ImageSource
from hardset.schemas.records.run import Image

TEST_SPLIT = "test"


@dataclass(frozen=True)
class Splits:
    """The clean rows of a job by what they are for."""

    train: CleanRows
    validation: CleanRows
    """Choose the round."""
    test: CleanRows | None
    """Have the last word; None where the source has none."""
    image: Image
    classes: int
    source: ImageSource
    """Source section of the rows of `train`, at their version, with their split and hold-out, for generate."""
    commit: str
    """Version of the source that was read: a commit of the Hugging Face Hub, or a version of a table; or empty."""
    twins: int
    """Training rows left out because validation or test holds the very same pixels."""

    @property
    def forbidden(self) -> frozenset[str]:
        """Digests of the pixels that nothing trained on may stem from."""
        return frozenset(self.validation.sha256) | frozenset(self.test.sha256 if self.test else ())


def read_splits(job: Job, validation: str | HeldOutShare) -> Splits:
    """Reads all clean rows of a job. Raises JobError: no validation rows, a class without training rows, made rows."""
    if job.model is None:
        raise JobError("model: missing; name the classifier that is to be trained")
    commit = version_of(job.source)
    spec = at_version(job.source, commit).model_copy(update={"splits": None, "hold_out": None})
    source, classes = open_source(spec), job.model.classes
    image, present = source.probe(), _splits_of(spec)
    if TRAINING_SPLIT not in present:
        raise JobError(f"source: has no split {TRAINING_SPLIT}; it has: {', '.join(present)}")
    training = spec.model_copy(update={"splits": (TRAINING_SPLIT,)})
    if isinstance(validation, HeldOutShare):
        rest, held = (_hold_out(validation, job.seed, part) for part in ("rest", "held_out"))
        judging = training.model_copy(update={"hold_out": held, "limit": job.source.limit})
        training = training.model_copy(update={"hold_out": rest})
    elif validation in present:
        judging = spec.model_copy(update={"splits": (validation,), "limit": None})
    else:
        raise JobError(
            f"harden.validation: the source has no split {validation!r}, and the most robust round must be chosen by "
            f"rows that are not trained on; it has: {', '.join(present)}; name another, or hold out a share of the "
            "train split: validation: {fraction: 0.1}"
        )

    def read(part: ImageSource) -> CleanRows:
        return _read(part, image, classes, job.output.shard_rows)

    test = read(spec.model_copy(update={"splits": (TEST_SPLIT,), "limit": None})) if TEST_SPLIT in present else None
    train, valid = read(training), read(judging)
    if not len(valid):
        raise JobError("harden.validation: holds no readable rows; hold out a larger fraction")
    if any(train.row_ids):
        raise JobError("source: holds rows that hardset made; name the clean source here, and made rows in train.data")
    known = frozenset(valid.sha256) | frozenset(test.sha256 if test else ())
    train, twins = _without(train, lambda digest: digest in known)
    _check_classes(train, classes)
    return Splits(train, valid, test, image, classes, training, commit, twins)


def _hold_out(share: HeldOutShare, seed: int, part: str) -> HoldOut:
    return HoldOut.model_validate({"fraction": share.fraction, "seed": seed, "part": part})


def _splits_of(spec: ImageSource) -> list[str]:
    """The splits of the whole source, in source order."""
    whole = open_source(spec.model_copy(update={"limit": None}))
    return list(dict.fromkeys(part.split for part in whole.plan(1_000_000)))


def _read(spec: ImageSource, image: Image, classes: int, shard_rows: int) -> CleanRows:
    source = open_source(spec)
    parts = [source.read(part, image, classes)[0] for part in source.plan(shard_rows)]
    return joined(parts)


def _without(rows: CleanRows, unwanted: Callable[[str], bool]) -> tuple[CleanRows, int]:
    kept = np.array([at for at, digest in enumerate(rows.sha256) if not unwanted(digest)], np.int64)
    if len(kept) == len(rows):
        return rows, 0
    return rows.take(kept), len(rows) - len(kept)


def _check_classes(train: CleanRows, classes: int) -> None:
    empty: Sequence[int] = np.flatnonzero(np.bincount(train.labels, minlength=classes) == 0).tolist()
    if empty:
        shown = ", ".join(map(str, empty[:5])) + (" and more" if len(empty) > 5 else "")
        raise JobError(f"source: has no training rows of class {shown}; a model learns only classes that it is shown")
