"""Rows written by generate, read for the rounds of hardening as any training loop reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import pyarrow.compute as pc

from hardset.pipeline.dataset.files.scan import UnreadableFileError, batches
from hardset.pipeline.dataset.records.ledger import manifests
from hardset.pipeline.loading.opening import files_of
from hardset.pipeline.loading.parts import RowsOfKind, whole
from hardset.pipeline.loading.stored_rows import StoredRows
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import DataFile, Image, Manifest
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

_PARENTS = ("row_id", "source_split", "source_key", "source_sha256")


def read_made_rows(
    folder: Folder,
    *,
    classes: int,
    image: Image,
    forbidden: Set[str],
    runs: Set[str] | None = None,
) -> Mapping[str, RowsOfKind]:
    """All training rows of a dataset by kind, from the files that its manifests list; `runs` narrows to some run ids.

    A shard that a run took over from an earlier one counts as its own. `forbidden`: digests of pixels that no row may
    stem from, those of validation and test rows. Raises JobError where one does, and, before anything is read, where
    rows have other classes or another shape.
    """
    chosen = [one for one in manifests(folder) if runs is None or one.run_id in runs]
    if not chosen:
        raise JobError(f"train.data: {folder.name} holds no finished run; make one with hardset generate")
    for manifest in chosen:
        _check_shape(folder, manifest, classes, image)
    listed = {kind: training_files(chosen, kind) for kind in (ADVERSARIAL, AUGMENTED, GENERATED)}
    found = {kind: _read(folder, files, image) for kind, files in listed.items() if files}
    for rows in found.values():
        _check_parents(folder, rows, forbidden)
    return {kind: replace(rows, columns={}) for kind, rows in found.items() if len(rows)}


def _read(folder: Folder, files: Sequence[DataFile], image: Image) -> RowsOfKind:
    rows = StoredRows(folder, files, image, columns=_PARENTS, seeds=True, cache_bytes=0)
    if rows.mixed:
        raise JobError(
            f"{folder.name}: holds rows of two classes (label_2), and the training methods take one label a row; leave "
            "the recipe that mixes rows out"
        )
    return whole(rows)


def attack_gradients(folder: Folder, manifest: Manifest) -> int:
    """Gradients that the attacks of a run spent, added up over its rows."""
    files = training_files([manifest], ADVERSARIAL)
    try:
        return sum(
            int(pc.sum(batch.columns["steps"]).as_py() or 0)
            for file in files
            for batch in batches(folder, file, ["steps"])
        )
    except UnreadableFileError as error:
        raise RunError(f"{folder.name}: {error}; `hardset verify` names every fault") from error


def _check_shape(folder: Folder, manifest: Manifest, classes: int, image: Image) -> None:
    if len(manifest.classes) != classes:
        raise JobError(
            f"train.data: {folder.name} was made for {len(manifest.classes)} classes, and the model has {classes}; "
            "make the rows again for this model"
        )
    if manifest.image != image:
        have, want = (f"{one.height}x{one.width}x{one.channels}" for one in (manifest.image, image))
        raise JobError(f"train.data: {folder.name} holds rows of {have}, and the source has {want}; set source.size")


def training_files(finished: Sequence[Manifest], kind: str | None = None) -> tuple[DataFile, ...]:
    """Files of one kind of row, or of any, of the train split, that manifests list.

    Each is given once: a shard taken over is listed by several runs.
    """
    listed = (file for one in finished for file in files_of(one, kind, TRAINING_SPLIT))
    return tuple({file.path: file for file in listed}.values())


def _check_parents(folder: Folder, rows: RowsOfKind, forbidden: Set[str]) -> None:
    columns = (rows.columns[name].tolist() for name in _PARENTS)
    for row, split, key, parent in zip(*columns, strict=True):
        if split in ("", TRAINING_SPLIT) and parent not in forbidden:
            continue
        where = split if split not in ("", TRAINING_SPLIT) else "validation or test"
        raise JobError(
            f"{folder.name}: row {row} stems from {key}, which belongs to {where}: a model trained on it would have "
            "seen what it is judged on; leave this dataset out of train.data, or make it again from the train split"
        )
