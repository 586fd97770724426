"""Datasets that a model was trained on: their adversarial rows, and the parents of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.files.scan import UnreadableFileError, batches, rows_at
from hardset.pipeline.dataset.records.ledger import manifests
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.made_rows import training_files
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import Threat
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.records.run import DataFile, Image, Manifest
from hardset.schemas.rows.contract import ADVERSARIAL

MOST_SHARD_ROWS = 2000
"""Maximum number of adversarial rows evaluated, evenly spaced; 2,000 give an interval of 2 points either way."""
_COMPARABLE_EPS = 0.9
"""Minimum budget of comparable rows as a share of the threat's: 8/255 and 0.03 are practically the same."""


def dataset_digest(url: str) -> str:
    """Digest over the rows of a dataset's finished runs. Raises JobError if there is none."""
    return digest([manifest.content_sha256 for manifest in _manifests(url)])


def training_parents(url: str) -> dict[str, str]:
    """Source keys by SHA-256 of the clean pixels, for the parents of a dataset's training rows."""
    found: dict[str, str] = {}
    for folder, file in _training_files(url):
        for batch in _read(folder, file, ["source_sha256", "source_key"]):
            columns = batch.to_pydict()
            found.update(zip(columns["source_sha256"], columns["source_key"], strict=True))
    found.pop(None, None)  # type: ignore[call-overload]  # generated rows have no parent
    return found


def shard_rows(url: str, image: Image, threat: Threat) -> tuple[Pixels, Classes]:
    """Adversarial training rows of a dataset, uint8 (N, H, W, C), and their labels; at most `MOST_SHARD_ROWS`.

    Only rows of the threat's norm with nearly its budget or more: weaker ones would flatter any model. Raises JobError
    if their shape is not that of the evaluated rows.
    """
    shape = (image.height, image.width, image.channels)
    places = [
        (folder, file, batch_start + int(at))
        for folder, file in _training_files(url)
        for batch_start, comparable in _comparable(folder, file, threat)
        for at in np.flatnonzero(comparable)
    ]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(MOST_SHARD_ROWS, len(places))).round().astype(int))
    by_file: dict[tuple[int, str], tuple[Folder, DataFile, list[int]]] = {}
    for number in chosen.tolist():
        folder, file, at = places[number]
        by_file.setdefault((id(folder), file.path), (folder, file, []))[2].append(at)
    images, labels = [], []
    for folder, file, positions in by_file.values():
        for _, row in sorted(_rows_at(folder, file, positions).items()):
            images.append(decode_png(row["image"]["bytes"]))
            labels.append(row["label"])
    if images and images[0].shape != shape:
        told = " x ".join(map(str, images[0].shape))
        raise JobError(
            f"trained_on: the rows of {Folder(url).name} are {told} (height, width, channels), and those of the source "
            f"are {' x '.join(map(str, shape))}; set source.size and source.channels to what the model was trained on"
        )
    return np.stack(images) if images else np.zeros((0, *shape), np.uint8), np.asarray(labels, np.int64)


def _manifests(url: str) -> list[Manifest]:
    folder = Folder(url)
    found = manifests(folder)
    if not found:
        raise JobError(f"trained_on: {folder.name} holds no finished run; name a folder that `hardset generate` wrote")
    return found


def _training_files(url: str) -> Iterator[tuple[Folder, DataFile]]:
    folder = Folder(url)
    for file in training_files(_manifests(url)):
        yield folder, file


def _comparable(folder: Folder, file: DataFile, threat: Threat) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yields the first row's position of each batch, and the mask of its rows that are comparable with the threat."""
    start = 0
    for batch in _read(folder, file, ["kind", "norm", "eps"]):
        kinds, norms = (np.asarray(batch.column(name).to_pylist(), object) for name in ("kind", "norm"))
        eps = np.nan_to_num(batch.column("eps").to_numpy(zero_copy_only=False).astype(np.float64))
        strong = eps >= _COMPARABLE_EPS * float(threat.eps)
        yield start, (kinds == ADVERSARIAL) & (norms == STORED_NORMS[threat.norm]) & strong
        start += batch.num_rows


def _read(folder: Folder, file: DataFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    try:
        for batch in batches(folder, file, columns):
            yield batch.columns
    except UnreadableFileError as error:
        raise JobError(f"trained_on: {folder.name}: {error}; `hardset verify` tells more") from None


def _rows_at(folder: Folder, file: DataFile, positions: list[int]) -> dict[int, dict[str, Any]]:
    try:
        return rows_at(folder, file, positions)
    except UnreadableFileError as error:
        raise JobError(f"trained_on: {folder.name}: {error}; `hardset verify` tells more") from None
