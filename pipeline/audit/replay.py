"""Replay: a row is made again from its own columns and the manifest, and compared bit for bit.

PyTorch promises no equal bits across devices and releases, so what another one made may be equal within a tolerance.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.audit.agreement import text_of
from hardset.pipeline.audit.trust import NO_TRUST, Trust
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import Ledger, find_receipts
from hardset.pipeline.recipes.table import code_versions
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.reading import BadRow
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.base import unfixed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import image_sha256, recipe_id
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Manifest, Output, Plan, Shard
from hardset.schemas.rows.contract import COLUMNS

EQUAL, NEARLY, DIFFERS = "equal", "within tolerance", "differs"
TOLERATED_LEVELS, TOLERATED_SHARE = 1, 0.01
"""How an image may differ that another device or other libraries made, if its verdict is the same: in all values by one
level, or in this share of them by any. Sums in another order tip the sign of a gradient here and there, and such a
value may end at the other side of its budget."""
_FLOAT32 = {column.name for column in COLUMNS if column.type == pa.float32()}
_VERDICT = {"label", "target_label", "clean_pred", "pred", "success"}


@dataclass(frozen=True)
class PixelDifference:
    """Difference of two images: the first differing value in reading order, and the box around all."""

    row: int
    column: int
    channel: int
    stored: int
    """Level of the first differing value, as stored."""
    again: int
    """Level of the same value, as made again."""
    box: tuple[int, int, int, int]
    """Top, left, bottom and right, in pixels, the last two past the end."""


@dataclass(frozen=True)
class Replayed:
    """Result of making a row again."""

    row_id: str
    result: str
    """`equal`: all pixels are the same; `within tolerance`: nearly so, and made elsewhere; or `differs`."""
    equal: bool
    """Whether all pixels are the same."""
    largest_difference: int
    """Largest difference of any value, in 8-bit levels."""
    differing_values: int
    where: PixelDifference | None
    """None where all pixels are the same."""
    elsewhere: tuple[str, ...]
    """Device and versions of the machine that made the row where this one has others."""
    columns_differing: tuple[str, ...]
    """Columns whose values differ, the image aside."""
    shard: int
    op: str


def replay(folder: Folder, row_id: str, run: str | None = None, *, trust: Trust = NO_TRUST) -> Replayed:
    """Makes the shard of a stored row again and compares the row. `run`: start of its run's id; None: the newest.

    `trust`: what the operator brings. Raises UntrustedError where the records alone name code or files that this takes,
    JobError where the row is unknown or the source cannot be read, RunError where source, weights or the
    recipe's code changed.
    """
    manifest = chosen_manifest(folder, run)
    output, row = find_row(folder, manifest, row_id)
    plan = plan_of(folder, output.run_id)
    shard = next(shard for shard in plan.shards if shard.key == output.key)
    job = trust.job_of(plan, folder)
    text = text_of(plan, manifest, shard.recipe)
    if text is None or recipe_id(text) != row["recipe_id"]:
        raise RunError(
            f"row {row_id}: its recipe is not that of its shard in the plan; `hardset verify` names the fault"
        )
    fault = code_fault(text, manifest)  # imports what the recipe names, which the job names too
    if fault is not None:
        raise RunError(f"row {row_id}: {fault}")
    worker = Worker(job, plan, driver_device(job.run), threads=job.run.cpus_per_actor)
    elsewhere = made_elsewhere(folder, manifest, output, str(worker.device))
    return compare(row, shard, plan, worker, excluded=output.excluded, elsewhere=elsewhere)


def made_elsewhere(folder: Folder, manifest: Manifest, output: Output, device: str) -> tuple[str, ...]:
    """How the machine and the libraries that made a shard differ from this process, one text each.

    `device`: of this process, as receipts tell it.
    """
    own = output.run_id == manifest.run_id
    maker = manifest if own else Ledger(folder, output.run_id).manifest() or manifest
    made = {f"{name} {version}" for name, version in maker.environment.items()}
    here = {f"{name} {version}" for name, version in versions().items()}
    found = sorted(made - here)
    devices = {receipt.device for receipt in find_receipts(folder, [output.key], of_run=output.run_id)}
    return tuple(sorted(f"device {name}" for name in devices - {device}) + found)


def code_fault(recipe: Mapping[str, Any], manifest: Manifest) -> str | None:
    """Why a recipe's rows cannot be made again: its code makes other rows from the same settings. None: they can.

    Imports the code that the recipe names.
    """
    made_by = manifest.environment.get("hardset", "an older version")
    for what, then, now in code_versions(recipe):
        if then != now:
            return (
                f"version {_told(then)} of the {what} code made it (hardset {made_by}), and this "
                f"is version {_told(now)}, which makes other rows; replay it with the code that made it"
            )
    return None


def _told(code: object) -> str:
    """A code version as a sentence shows it: digests in 12 digits."""
    if not isinstance(code, Mapping):
        return str(code)
    told = {key: str(value)[:12] if key == "sha256" else str(value) for key, value in code.items()}
    return ", ".join(value if key == "version" else f"{key} {value}" for key, value in told.items())


def compare(
    row: dict[str, Any],
    shard: Shard,
    plan: Plan,
    worker: Worker,
    *,
    excluded: Sequence[int] = (),
    elsewhere: Sequence[str] = (),
) -> Replayed:
    """Makes `shard` again, without its `excluded` rows, and holds its row against the stored `row`."""
    bad = [BadRow(row=position, error_class="", message="") for position in excluded]
    rows = None if shard.range is None else unfixed(plan.ranges[shard.range])
    made = make_shard(shard, rows, worker, bad)
    ids = list(made.columns["row_id"])
    if row["row_id"] not in ids:
        raise RunError(f"row {row['row_id']}: making its shard again gave no such row; the source has changed")
    at = ids.index(row["row_id"])
    stored, again = decode_png(row["image"]["bytes"]), decode_png(made.columns["image"][at]["bytes"])
    if image_sha256(stored) != row["image_sha256"]:
        raise RunError(f"row {row['row_id']}: its stored image is not the one its image_sha256 names")
    difference = np.abs(stored.astype(np.int16) - again.astype(np.int16))
    columns = tuple(differing(row, made.columns, at))
    return Replayed(
        row_id=row["row_id"],
        result=result_of(difference, columns, elsewhere),
        equal=not difference.any(),
        largest_difference=int(difference.max()),
        differing_values=int((difference > 0).sum()),
        where=place_of(stored, again),
        elsewhere=tuple(elsewhere),
        columns_differing=columns,
        shard=shard.index,
        op=row["op"],
    )


def result_of(difference: NDArray[np.int16], columns: Collection[str], elsewhere: Collection[str]) -> str:
    """`EQUAL`, `NEARLY` or `DIFFERS`. `difference`: of all values, in levels; `columns`: those that differ."""
    if not difference.any():
        return EQUAL
    near = difference.max() <= TOLERATED_LEVELS or (difference > 0).mean() <= TOLERATED_SHARE
    return NEARLY if elsewhere and near and not _VERDICT & set(columns) else DIFFERS


def place_of(stored: NDArray[np.uint8], again: NDArray[np.uint8]) -> PixelDifference | None:
    """Difference of two images (H, W, C); None where they are equal."""
    places = np.argwhere(stored != again)
    if not len(places):
        return None
    row, column, channel = map(int, places[0])
    (top, left, _), (bottom, right, _) = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    values = int(stored[row, column, channel]), int(again[row, column, channel])
    return PixelDifference(row, column, channel, *values, (top, left, bottom, right))


def differing(row: Mapping[str, Any], columns: Mapping[str, Any], at: int) -> list[str]:
    """Columns of a stored row, the image aside, that have another value at a place of the columns of a made shard."""
    names = []
    for name, values in columns.items():
        again = None if values is None else values[at]
        again = again.item() if isinstance(again, np.generic) else again
        if name in _FLOAT32 and again is not None:
            again = float(np.float32(again))  # as it is stored
        if name != "image" and name in row and again != row[name]:  # rows of older contracts lack columns
            names.append(name)
    return names


def plan_of(folder: Folder, run_id: str) -> Plan:
    """The plan of a run. Raises RunError where it is gone."""
    plan = Ledger(folder, run_id).plan()
    if plan is None:
        raise RunError(f"{folder.name}: the plan of run {run_id} is missing, so its rows cannot be made again")
    return plan


def find_row(folder: Folder, manifest: Manifest, row_id: str) -> tuple[Output, dict[str, Any]]:
    """The shard that holds a row, and the row. Raises JobError where no shard does."""
    for output in manifest.outputs:
        if output.data is None:
            continue
        file = pq.ParquetFile(io.BytesIO(folder.read(output.data.path)), page_checksum_verification=True)
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["row_id"]).column(0).to_pylist()
            if row_id in ids:
                at = ids.index(row_id)
                return output, file.read_row_group(group).slice(at, 1).to_pylist()[0]
    raise JobError(
        f"{row_id}: no such row in run {manifest.run_id[:8]} of {folder.name}; row ids are in the row_id column"
    )
