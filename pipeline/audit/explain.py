"""Lineage of a stored row: run, shard, recipe, model, source and verdict, and the rows it was made from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from hardset.pipeline.dataset.records.ledger import Ledger, manifests, run_ids
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError, UserError
from hardset.schemas.records.run import Manifest, Output

Lineage = dict[str, Any]

_VERDICT = ("label", "target_label", "clean_pred", "clean_margin", "pred", "margin", "confidence", "success")
_DISTANCE = ("norm", "eps", "linf_levels", "l2", "l1", "l0_pixels", "steps", "queries", "found_by", "flags")
_TRANSFER = ("transfer_pred", "transferred", "verify_id")


def explain(folder: Folder, row_id: str) -> Lineage:
    """The lineage of a row in any finished run of `folder`, its parents' under `parent`; plain JSON values.

    Raises JobError where no run of the folder holds the row, RunError where records cannot be believed.
    """
    found = _find(folder, row_id)
    if found is None:
        raise JobError(f"{row_id}: no such row in {folder.name}; row ids are in the row_id column")
    return _lineage(folder, *found, ancestry={row_id})


def _find(folder: Folder, row_id: str) -> tuple[Manifest, Output, dict[str, Any]] | None:
    """The newest manifest that lists the row, its shard and its columns without the image."""
    seen = set()
    for manifest in reversed(manifests(folder)):
        for output in manifest.outputs:
            if output.data is None or output.data.path in seen:
                continue
            seen.add(output.data.path)
            row = _row(folder, output.data.path, row_id)
            if row is not None:
                return manifest, output, row
    return None


def _row(folder: Folder, path: str, row_id: str) -> dict[str, Any] | None:
    try:
        file = pq.ParquetFile(io.BytesIO(folder.read(path)), page_checksum_verification=True)
    except (FileNotFoundError, OSError, ValueError) as error:
        raise RunError(f"{folder.name}: {path} cannot be read; `hardset verify` tells more") from error
    names = [name for name in file.schema_arrow.names if name != "image"]
    for group in range(file.num_row_groups):
        ids = file.read_row_group(group, columns=["row_id"])["row_id"].to_pylist()
        if row_id in ids:
            row: dict[str, Any] = file.read_row_group(group, columns=names).slice(ids.index(row_id), 1).to_pylist()[0]
            return row
    return None


def _lineage(folder: Folder, manifest: Manifest, output: Output, row: dict[str, Any], ancestry: set[str]) -> Lineage:
    assert output.data is not None
    run = Ledger(folder, output.run_id)
    maker = run.manifest() or manifest
    receipt = run.receipts().get(output.key)
    return {
        **{name: row[name] for name in ("row_id", "kind", "op", "variant", "seed", "params")},
        "run": {
            "run_id": row["run_id"],
            "job": maker.job["name"],
            "seed": maker.job["seed"],
            "started": maker.started,
            "finished": maker.finished,
            "hardset": maker.environment.get("hardset"),
        },
        "shard": {"index": output.index, "key": output.key, "dataset": folder.name, "file": output.data.path}
        | {"sha256": output.data.sha256},
        "receipt": receipt
        and {name: getattr(receipt, name) for name in ("host", "device", "started", "finished", "attempt")},
        "recipe": {"recipe_id": row["recipe_id"], "text": manifest.recipes.get(row["recipe_id"])},
        "model": row["model_sha256"] and {"model_id": row["model_id"], "sha256": row["model_sha256"]},
        "source": row["source_sha256"]
        and {name: row[f"source_{name}"] for name in ("dataset", "split", "key", "index", "sha256")},
        "verdict": _filled(row, _VERDICT + _TRANSFER),
        "change": _filled(row, _DISTANCE),
        "parent": row["parent_row_id"] and _parent(folder, manifest, row["parent_row_id"], ancestry),
    }


def _filled(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}


def _parent(folder: Folder, manifest: Manifest, row_id: str, ancestry: set[str]) -> Lineage:
    """The parent's lineage, from this dataset or from the one that was the run's source."""
    if row_id in ancestry:
        raise RunError(f"{row_id}: is among its own ancestors")
    for place in (folder, *_source_datasets(manifest)):
        found = _find(place, row_id)
        if found is not None:
            return _lineage(place, *found, ancestry={*ancestry, row_id})
    return {"row_id": row_id, "found": False}


def _source_datasets(manifest: Manifest) -> Iterator[Folder]:
    """The dataset that the source of the run lies in, where hardset made it."""
    path = str(manifest.job["source"].get("path", ""))
    for place in dict.fromkeys((path.rstrip("/"), path.rpartition("/data")[0])):
        try:
            folder = Folder(place) if place else None
            if folder is not None and run_ids(folder):
                yield folder
        except UserError:
            continue
