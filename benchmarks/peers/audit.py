"""What stored rows are worth, whoever made them: judged from their PNG bytes by plain torch, budgets in integers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from benchmarks.peers.cases import CIFAR, Case
from benchmarks.peers.written import decoded, load_model
from PIL import Image


def stored_rows(out: Path) -> pa.Table:
    """Rows that a contender left: hardset's below `data/`, the others' in the folder itself."""
    folder = out / "data" if (out / "data").is_dir() else out
    return ds.dataset(folder, format="parquet").to_table()


def audited(case: Case, data: str, table: pa.Table, rows: int) -> dict[str, float]:
    """Shares of the stored rows, in per cent; empty where nothing was attacked.

    `fooled`: of those that the model classified correctly, that it misclassifies as stored. `lost`: of those whose
    float image fooled it, that no longer do as stored. `over_budget`: of all, that lie further from every source row
    than eps.
    """
    if case.attack is None:
        return {}
    model = load_model(data)
    pixels = np.stack([pixels_of(image) for image in table["image"].to_pylist()])
    labels, clean = np.array(table["label"]), np.array(table["clean_pred"])
    with torch.no_grad():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        stored = torch.cat([model(part).argmax(1) for part in images.split(256)]).numpy()
    floats = np.array(table["float_pred" if "float_pred" in table.column_names else "pred"])
    right, broke = clean == labels, (clean == labels) & (floats != labels)
    source = pq.read_table(f"{data}/{CIFAR}").slice(0, rows)["image"].to_pylist()
    clean_pixels = np.stack([decoded(image) for image in source]).astype(np.int16)
    spent = np.array([np.abs(clean_pixels - row).max(axis=(1, 2, 3)).min() for row in pixels.astype(np.int16)])
    levels = np.rint(np.array(table["eps"], np.float64) * 255)
    return {
        "fooled": 100 * float((stored != labels)[right].mean()),
        "lost": 100 * float((stored == labels)[broke].mean()) if broke.any() else 0.0,
        "over_budget": 100 * float((spent > levels).mean()),
    }


def pixels_of(image: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels of a stored image, with or without a path beside its bytes."""
    data = image["bytes"] if isinstance(image, dict) else image
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
