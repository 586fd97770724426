"""Rows written by generate, read as any user of the dataset would: pyarrow.dataset over the files in manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_pngs
from hardset.pipeline.dataset.records.ledger import manifests
from hardset.pipeline.sources.splits import TRAINING_SPLIT
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import DataFile, Image, Manifest
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

_COLUMNS = ["image", "label", "row_id", "kind", "seed", "source_split", "source_key", "source_sha256"]
_KINDS = (ADVERSARIAL, AUGMENTED, GENERATED)


@dataclass(frozen=True)
class MadeRowsRead:
    """Made rows of one kind."""

    pixels: Pixels
    labels: NDArray[np.int64]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def read_made_rows(
    folder: Folder,
    *,
    classes: int,
    image: Image,
    forbidden: Set[str],
    runs: Set[str] | None = None,
) -> Mapping[str, MadeRowsRead]:
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
    files = training_files(chosen)
    found: dict[str, list[MadeRowsRead]] = {kind: [] for kind in _KINDS}
    for table in _batches(folder, files, _COLUMNS):
        _check_parents(folder, table, forbidden)
        for kind, part in _by_kind(table, (image.height, image.width, image.channels)):
            found[kind].append(part)
    return {kind: _joined(parts) for kind, parts in found.items() if parts}


def attack_gradients(folder: Folder, manifest: Manifest) -> int:
    """Gradients that the attacks of a run spent, added up over its rows."""
    files = training_files([manifest])
    return sum(int(pc.sum(batch["steps"]).as_py() or 0) for batch in _batches(folder, files, ["steps"]))


def _check_shape(folder: Folder, manifest: Manifest, classes: int, image: Image) -> None:
    if len(manifest.classes) != classes:
        raise JobError(
            f"train.data: {folder.name} was made for {len(manifest.classes)} classes, and the model has {classes}; "
            "make the rows again for this model"
        )
    if manifest.image != image:
        have, want = (f"{one.height}x{one.width}x{one.channels}" for one in (manifest.image, image))
        raise JobError(f"train.data: {folder.name} holds rows of {have}, and the source has {want}; set source.size")


def training_files(finished: Sequence[Manifest]) -> tuple[DataFile, ...]:
    """The files of the train split that manifests list, each once: a shard taken over is listed by several runs."""
    listed = (
        output.data
        for manifest in finished
        for output in manifest.outputs
        if output.data is not None and output.split == TRAINING_SPLIT
    )
    return tuple({file.path: file for file in listed}.values())


def _batches(folder: Folder, files: Sequence[DataFile], columns: list[str]) -> Iterator[pa.RecordBatch]:
    if not files:
        return
    system, root = fsspec.core.url_to_fs(folder.url)
    paths = [f"{root.rstrip('/')}/{file.path}" for file in files]
    try:
        yield from ds.dataset(paths, filesystem=system, format="parquet").to_batches(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{folder.name}: its rows cannot be read: {' '.join(str(error).split())[:160]}") from error


def _check_parents(folder: Folder, table: pa.RecordBatch, forbidden: Set[str]) -> None:
    splits, parents = table["source_split"].to_pylist(), table["source_sha256"].to_pylist()
    for at, (split, parent) in enumerate(zip(splits, parents, strict=True)):
        if split in (None, TRAINING_SPLIT) and parent not in forbidden:
            continue
        where = split if split not in (None, TRAINING_SPLIT) else "validation or test"
        row, key = table["row_id"][at].as_py(), table["source_key"][at].as_py()
        raise JobError(
            f"{folder.name}: row {row} stems from {key}, which belongs to {where}: a model trained on it would have "
            "seen what it is judged on; leave this dataset out of train.data, or make it again from the train split"
        )


def _by_kind(table: pa.RecordBatch, shape: tuple[int, int, int]) -> Iterator[tuple[str, MadeRowsRead]]:
    kinds = np.array(table["kind"].to_pylist())
    for kind in _KINDS:
        where = np.flatnonzero(kinds == kind)
        if len(where):
            part = table.take(pa.array(where))
            pixels, readable = decode_pngs([cell["bytes"] for cell in part["image"].to_pylist()], shape)
            if not readable.all():
                raise RunError(
                    f"row {part['row_id'][int(np.argmin(readable))]} holds no readable image; run hardset verify"
                )
            labels = part["label"].to_numpy(zero_copy_only=False).astype(np.int64)
            seeds = part["seed"].to_numpy(zero_copy_only=False).astype(np.int64)
            yield kind, MadeRowsRead(pixels, labels, seeds)


def _joined(parts: Sequence[MadeRowsRead]) -> MadeRowsRead:
    return MadeRowsRead(
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        seeds=np.concatenate([part.seeds for part in parts]),
    )
