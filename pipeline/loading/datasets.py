"""Rows for torch: single ones, and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from hardset.pipeline.judging.judge import seeded
from hardset.pipeline.loading.filters import Filters
from hardset.pipeline.loading.mixture import WINDOW_BYTES, Taken, take
from hardset.pipeline.loading.opening import SOFT_COLUMNS, OneRun, Opened, Wanted, identity, opened, plan_of
from hardset.schemas.errors import JobError

Batch = dict[str, Any]
State = dict[str, Any]
Place = str | PathLike[str] | OneRun


class Rows(Dataset[tuple[Any, ...]]):
    """Map-style: an image and the values of some columns for each row of a run, in its order."""

    def __init__(
        self,
        place: Place,
        columns: Sequence[str] = ("label",),
        *,
        transform: Callable[[Tensor], Any] | None = None,
        run: str | None = None,
        split: str | None = None,
        filters: Filters | None = None,
        cache_bytes: int = 2**30,
    ) -> None:
        """`place`: a path, any fsspec URL, or what `hardset.open_dataset` gives; `run`: another than the newest.

        `transform`: what is done to every image. `filters`, `split`: which rows there are. Row groups stay in memory as
        they are stored, up to `cache_bytes` in each process; for rows in random order that are more, take a `Loader`.
        Raises JobError where there is no such run or column.
        """
        self._columns, self._transform = tuple(columns), transform
        more = tuple(name for name in columns if name != "label")
        self._rows = opened(place, run).stored(
            split=split, columns=more, filters=filters, cache_bytes=cache_bytes, unlabelled=True
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        """(image, *values) of a row: float32 (C, H, W) in [0, 1], or what `transform` makes of it, and plain values.

        Empty values are -1, NaN, False and "", which every collation takes.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.__getitems__([row % len(self)])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[tuple[Any, ...]]:
        """Several rows at once, as DataLoader asks for them."""
        taken = self._rows.take(np.asarray(rows, np.int64))
        images = _images(taken.pixels)
        values = [(taken.labels if name == "label" else taken.columns[name]).tolist() for name in self._columns]
        shown = images if self._transform is None else map(self._transform, images)
        return [(image, *row) for image, *row in zip(shown, *values, strict=True)]


class Batches(IterableDataset[Batch]):
    """Iterable: whole batches of one epoch, the same ones whatever the number of workers and ranks.

    For `DataLoader(batches, batch_size=None, num_workers=...)`. Each rank gets its rows of every batch.
    """

    def __init__(
        self,
        place: Place,
        *,
        batch: int,
        mix: Mapping[str, float] | None = None,
        clean: object = None,
        columns: Sequence[str] = (),
        filters: Filters | Mapping[str, Filters] | None = None,
        split: str | None = "train",
        run: str | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        soft_labels: bool = False,
        pixels: str = "float32",
        transform: Callable[[Tensor], Any] | None = None,
        rank: int | None = None,
        ranks: int | None = None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """`batch`: rows of a batch over all ranks. `mix`: share of each kind (clean, adversarial, augmented, generated)
        in every batch; None: all rows of the run, each once in an epoch. Of each kind of a mix every row comes once
        before any comes twice, and an epoch is as long as the clean rows, or as all rows where no clean ones are mixed.

        `clean`: the user's own rows, a source as in a job file or a map-style dataset of (image, label).
        `split`: of the clean rows that the made ones stem from; None: all. `filters`: which made rows, as pyarrow and
        pandas take them; of a mix also by kind. `rank`, `ranks`: by default those of torch's process
        group. `window_bytes`: stored rows that are permuted together.

        A batch is a dict: `image` (B, C, H, W), float32 in [0, 1] or uint8 (`pixels`), or what `transform` makes of it;
        `label` int64 (B,); with `soft_labels` also `target` float32 (B, K), which holds the second class of mixed rows;
        the `columns`, empty values -1, NaN, False and "". What `transform` draws from torch belongs to the batch.

        Raises JobError where there is no such run, row or column, or the clean rows do not fit.
        """
        if pixels not in ("float32", "uint8"):
            raise JobError(f"pixels: got {pixels!r}; wants float32 or uint8")
        found: Opened = opened(place, run)
        wanted = Wanted(
            batch, mix, clean, filters, split, tuple(columns), seed, shuffle, drop_last, soft_labels, window_bytes
        )
        self._plan = plan_of(found, wanted)
        self._classes, self._columns, self._soft = len(found.manifest.classes), tuple(columns), soft_labels
        self._pixels, self._transform, self._seed = pixels, transform, seed
        self._rank, self._ranks = _team(rank, ranks)
        self.identity = identity(found, self._plan, wanted)
        """Digest of all that the order of batches follows from."""
        self._epoch, self._first, self._done = 0, 0, 0

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return self._plan.steps

    def __len__(self) -> int:
        """Batches that an iteration gives: what is left of the epoch."""
        return self.steps - self._first

    def __getitem__(self, step: int) -> Batch:
        """Batch `step`, counted from 0 over all epochs."""
        taken = take(self._plan, step, self._rank, self._ranks)
        return self._batch(taken, step)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the epoch from its first on, or from where `load_state_dict` put it; of a worker its share."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        first = self._first + worker + self._done * workers
        for place in range(first, self.steps, workers):
            self._done += 1
            yield self[self._epoch * self.steps + place]
        self._first, self._done = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of an epoch, counted from 0."""
        self._epoch, self._first, self._done = epoch, 0, 0

    def state_dict(self) -> State:
        """Place in the epoch, as numbers. Of a DataLoader's workers each has its own: torchdata keeps them."""
        workers = get_worker_info() is not None
        first, done = (self._first, self._done) if workers else (self._first + self._done, 0)
        return {"identity": self.identity, "epoch": self._epoch, "step": first, "done": done}

    def load_state_dict(self, state: State) -> None:
        """Goes on from a state. Raises JobError where that is of other batches."""
        check_state(state, self.identity)
        self._epoch, self._first, self._done = int(state["epoch"]), int(state["step"]), int(state.get("done", 0))

    def _batch(self, taken: Taken, step: int) -> Batch:
        rows = taken.rows
        images: Any = _images(rows.pixels) if self._pixels == "float32" else _channels_first(rows.pixels)
        if self._transform is not None:
            with seeded(torch.device("cpu"), _draw(self._seed, step, self._rank)):
                images = self._transform(images)
        batch: Batch = {"image": images, "label": torch.from_numpy(rows.labels)}
        if self._soft:
            batch["target"] = soft_targets(rows.labels, rows.columns, self._classes)
        for name in self._columns:
            values = rows.columns.get(name)
            if values is not None:
                batch[name] = values.tolist() if values.dtype == object else torch.from_numpy(values)
        return batch


def soft_targets(labels: Any, columns: Mapping[str, Any], classes: int) -> Tensor:
    """Probabilities of the classes, float32 (B, K): `label_weight` for `label`, the rest for `label_2`."""
    rows = np.arange(len(labels))
    targets = np.zeros((len(labels), classes), np.float32)
    second, weight = (columns.get(name) for name in SOFT_COLUMNS)
    share = np.ones(len(labels), np.float32)
    if second is not None and weight is not None:
        share = np.where(np.isnan(weight) | (second < 0), np.float32(1), weight)
        targets[rows[second >= 0], second[second >= 0]] += (1 - share)[second >= 0]
    targets[rows, labels] += share
    return torch.from_numpy(targets)


def check_state(state: State, wanted: str) -> None:
    """Raises JobError where a state is of other batches."""
    if state.get("identity") != wanted:
        raise JobError(
            "load_state_dict: the state is of a loader over other rows or with other settings (batch, mix, seed, "
            "filters), or a later run has finished since: name the run, run=..., to go on with it"
        )


def _images(pixels: Any) -> Tensor:
    return _channels_first(pixels).to(torch.float32).div_(255)


def _channels_first(pixels: Any) -> Tensor:
    # numpy's copy of bytes is six times as fast as torch's, and there is none where they lie so already.
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _team(rank: int | None, ranks: int | None) -> tuple[int, int]:
    if (rank is None) != (ranks is None):
        raise JobError("rank, ranks: one is missing; give both, or neither for those of torch's process group")
    if rank is None or ranks is None:
        there = dist.is_available() and dist.is_initialized()
        return (dist.get_rank(), dist.get_world_size()) if there else (0, 1)
    if not 0 <= rank < ranks:
        raise JobError(f"rank: got {rank} of {ranks} ranks; wants 0 to {ranks - 1}")
    return rank, ranks


def _draw(seed: int, step: int, rank: int) -> int:
    words = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1
