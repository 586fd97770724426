"""From a dataset folder to a plan of batches: which rows, in which mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Protocol

from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.loading.clean_rows import clean_part
from hardset.pipeline.loading.filters import Filters
from hardset.pipeline.loading.mixture import CLEAN, WINDOW_BYTES, Plan, TrainingRows, WholeEpochs
from hardset.pipeline.loading.parts import Part
from hardset.pipeline.loading.stored_rows import StoredRows
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import DataFile, Manifest
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

KINDS = (CLEAN, ADVERSARIAL, AUGMENTED, GENERATED)
_OF_RECIPE = {"attack": ADVERSARIAL, "augment": AUGMENTED, "sample": GENERATED}
SOFT_COLUMNS = ("label_2", "label_weight")


class OneRun(Protocol):
    """A run of a dataset folder, such as `hardset.open_dataset` gives."""

    @property
    def folder(self) -> Folder: ...

    @property
    def manifest(self) -> Manifest: ...


@dataclass(frozen=True)
class Opened:
    """A run that is there to be read."""

    folder: Folder
    manifest: Manifest

    def stored(
        self,
        kind: str | None = None,
        *,
        split: str | None = None,
        columns: Sequence[str] = (),
        filters: Filters | None = None,
        unlabelled: bool = False,
        cache_bytes: int = 2 * WINDOW_BYTES,
    ) -> StoredRows:
        """Rows of one kind, or of all, as `StoredRows` takes the rest."""
        return StoredRows(
            self.folder,
            files_of(self.manifest, kind, split),
            self.manifest.image,
            columns=columns,
            filters=filters,
            unlabelled=unlabelled,
            cache_bytes=cache_bytes,
        )


def files_of(manifest: Manifest, kind: str | None = None, split: str | None = None) -> tuple[DataFile, ...]:
    """Data files of a run that hold one kind of row, or any, and stem from one split, or any; in plan order."""
    recipes = manifest.job["recipes"]
    return tuple(
        output.data
        for output in manifest.outputs
        if output.data is not None
        and kind in (None, _OF_RECIPE[recipes[output.recipe]["kind"]])
        and split in (None, output.split)
    )


def opened(place: str | PathLike[str] | OneRun, run: str | None = None) -> Opened:
    """The newest run in the folder at a path or URL, or the one whose id starts with `run`; or one that is open.

    Raises JobError where there is no such run.
    """
    if isinstance(place, str | PathLike):
        folder = Folder(str(place))
        return Opened(folder, chosen_manifest(folder, run))
    return Opened(place.folder, place.manifest)


@dataclass(frozen=True)
class Wanted:
    """What batches should hold."""

    batch: int
    mix: Mapping[str, float] | None
    clean: object
    filters: Filters | Mapping[str, Filters] | None
    split: str | None
    columns: tuple[str, ...]
    seed: int
    shuffle: bool
    drop_last: bool
    soft_labels: bool
    window_bytes: int


def plan_of(run: Opened, wanted: Wanted) -> Plan:
    """The plan of batches. Raises JobError where what is wanted is not there."""
    if wanted.seed < 0:
        raise JobError(f"seed: got {wanted.seed}; wants 0 or more")
    if wanted.batch < 1:
        raise JobError(f"batch: got {wanted.batch}; wants 1 or more")
    return _whole_epochs(run, wanted) if wanted.mix is None else _mixture(run, wanted, _shares(wanted.mix))


def _whole_epochs(run: Opened, wanted: Wanted) -> WholeEpochs:
    if wanted.clean is not None:
        example = 'mix={"clean": 0.5, "adversarial": 0.5}'
        raise JobError(f"clean: no mix says how much of it a batch holds; wants such as {example}")
    rows = _stored(run, None, wanted)
    if not len(rows):
        raise JobError(f"{run.folder.name}: there is no row to load{_why(wanted)}")
    if wanted.drop_last and len(rows) < wanted.batch:
        raise JobError(f"batch: {wanted.batch} rows are more than the {len(rows)} there are, and drop_last drops them")
    return WholeEpochs(
        rows, wanted.batch, wanted.seed, wanted.shuffle, wanted.drop_last, window_bytes=wanted.window_bytes
    )


def _mixture(run: Opened, wanted: Wanted, shares: dict[str, float]) -> TrainingRows:
    if not wanted.shuffle:
        raise JobError("shuffle: a mix draws rows of several kinds, which have no order of their own; leave it True")
    parts: dict[str, Part] = {}
    for kind in shares:
        parts[kind] = _clean(run, wanted) if kind == CLEAN else _stored(run, kind, wanted)
        if not len(parts[kind]):
            raise JobError(f"mix: {kind}: {run.folder.name} has no such row{_why(wanted)}; leave it out of the mix")
    plan = TrainingRows(parts, wanted.batch, wanted.seed, shares, wanted.window_bytes)
    if len(plan.counts()) < len(shares) or not all(plan.counts().values()):
        raise JobError(f"batch: {wanted.batch} rows are too few for every kind of {', '.join(shares)} to have one")
    return plan


def _clean(run: Opened, wanted: Wanted) -> Part:
    if wanted.clean is None:
        raise JobError("mix: has clean rows, and clean is missing; name a source or a dataset of (image, label)")
    manifest = run.manifest
    return clean_part(wanted.clean, manifest.image, manifest.classes, window_bytes=wanted.window_bytes)


def _filters_of(wanted: Wanted, kind: str | None) -> Filters | None:
    if not isinstance(wanted.filters, Mapping):
        return wanted.filters
    kinds = [one for one in wanted.mix or () if one != CLEAN]
    if unknown := [one for one in wanted.filters if one not in kinds]:
        raise JobError(
            f"filters: {', '.join(map(repr, unknown))} is no kind of the mix; there are {', '.join(kinds) or 'none'}"
        )
    return wanted.filters.get(kind or "")


def _stored(run: Opened, kind: str | None, wanted: Wanted) -> StoredRows:
    rows = run.stored(
        kind,
        split=wanted.split,
        columns=tuple(dict.fromkeys((*wanted.columns, *(SOFT_COLUMNS if wanted.soft_labels else ())))),
        filters=_filters_of(wanted, kind),
        cache_bytes=2 * wanted.window_bytes,
    )
    if rows.mixed and not wanted.soft_labels:
        raise JobError(
            f"soft_labels: {run.folder.name} holds rows of two classes (label_2), which one label does not tell; "
            "set soft_labels=True, which gives batches a target, or leave such rows out by split or kind"
        )
    return rows


def _why(wanted: Wanted) -> str:
    parts = [f" in split {wanted.split}"] if wanted.split is not None else []
    return "".join([*parts, " that the filters leave" if wanted.filters is not None else ""])


def _shares(mix: Mapping[str, float]) -> dict[str, float]:
    if unknown := [kind for kind in mix if kind not in KINDS]:
        raise JobError(f"mix: no kind {', '.join(map(repr, unknown))}; there are {', '.join(KINDS)}")
    if any(not share >= 0 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-6:
        raise JobError(f"mix: got {dict(mix)}; wants shares from 0 to 1 that add up to 1")
    return {kind: float(share) for kind, share in mix.items() if share > 0}


def identity(run: Opened, plan: Plan, wanted: Wanted) -> str:
    """Digest of all that the order of batches follows from: two loaders with the same give the same batches."""
    sizes: dict[str, Any] = {kind: len(part) for kind, part in plan.parts.items()}
    order = [wanted.batch, dict(wanted.mix or {}), wanted.seed, wanted.shuffle, wanted.drop_last, wanted.window_bytes]
    return digest([run.manifest.content_sha256, sizes, order, str(wanted.filters), wanted.split])
