"""Tools that people read datasets with: what each gives for every row and every column."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
from PIL import Image

from hardset.schemas.digests import image_sha256
from hardset.schemas.rows.contract import COLUMNS, IMAGE

Rows = dict[str, tuple[str, int]]
"""Digest of the decoded pixels, and label, by row_id."""


def files_of(out: Path) -> list[str]:
    """The files of the newest run, as the dataset's own list has them."""
    return [str(out / path) for path in (out / "files.txt").read_text().split()]


@dataclass(frozen=True)
class Reading:
    """What a reader gave."""

    rows: Rows
    types: dict[str, str]
    """By column, how the reader types it."""


def kinds(out: Path) -> dict[str, list[str]]:
    """Columns by kind: Arrow type, whether a class, whether some rows leave it empty. Empty columns are left out."""
    table = pyarrow.dataset.dataset(files_of(out)).to_table()
    found: dict[str, list[str]] = {}
    for column in COLUMNS:
        gaps = table[column.name].null_count
        if gaps == len(table):
            continue
        name = "image" if column.type == IMAGE else "class" if column.is_class else str(column.type)
        found.setdefault(f"{name}, gaps" if gaps else name, []).append(column.name)
    first = ("image", "class", "class, gaps")
    return {kind: found[kind] for kind in (*first, *sorted(found.keys() - set(first)))}


def kind_table(columns: dict[str, list[str]]) -> str:
    """Markdown: one line per kind of column."""
    lines = ["| kind | columns |", "|---|---|"]
    lines += [f"| {kind} | {', '.join(f'`{name}`' for name in names)} |" for kind, names in columns.items()]
    return "\n".join(lines) + "\n"


def header(columns: dict[str, list[str]]) -> str:
    """The first two lines of the table of readers."""
    return f"| reader | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"


def line(reader: str, types: dict[str, str], columns: dict[str, list[str]]) -> str:
    """A reader's line. Raises ValueError where it types columns of one kind differently."""
    cells = []
    for kind, names in columns.items():
        given = {types[name] for name in names}
        if len(given) > 1:
            raise ValueError(f"{reader} types columns of the kind {kind!r} differently: {given}")
        cells.append(given.pop())
    return f"| {reader} | {' | '.join(cells)} |\n"


def pixels_digest(image: Any) -> str:
    """Digest of the pixels of PNG bytes, a PIL image, an array or a tensor (HW, HWC or CHW)."""
    opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
    pixels = np.asarray(opened)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    return image_sha256(pixels if pixels.ndim == 3 else pixels[..., None])


def rows_of(triples: Iterable[tuple[str, Any, int]]) -> Rows:
    """From row_id, image and label. Raises ValueError for a row_id that comes twice."""
    found: Rows = {}
    for row_id, image, label in triples:
        if row_id in found:
            raise ValueError(f"{row_id} came twice")
        found[row_id] = (pixels_digest(image), label)
    return found


def arrow_rows(table: pa.Table) -> Rows:
    """Rows of an Arrow table."""
    columns = [table[name].to_pylist() for name in ("row_id", "image", "label")]
    return rows_of((row_id, image["bytes"], label) for row_id, image, label in zip(*columns, strict=True))


def with_pyarrow(out: Path) -> Reading:
    table = pyarrow.dataset.dataset(files_of(out)).to_table()
    return Reading(arrow_rows(table), {field.name: str(field.type) for field in table.schema})


def _load(out: Path, **settings: Any) -> Any:
    import datasets

    return datasets.load_dataset(str(out), split="train", cache_dir=str(out.parent / "cache"), **settings)


def _from_datasets(rows: Any) -> Reading:
    types = {name: type(feature).__name__ for name, feature in rows.features.items()}
    types |= {name: f"Value {rows.features[name].dtype}" for name, kind in types.items() if kind == "Value"}
    return Reading(rows_of((row["row_id"], row["image"], row["label"]) for row in rows), types)


def with_datasets(out: Path) -> Reading:
    return _from_datasets(_load(out))


def with_datasets_streaming(out: Path) -> Reading:
    return _from_datasets(_load(out, streaming=True))


def with_torch(out: Path) -> Reading:
    """A DataLoader over `datasets`, with the collation torch has by default."""
    from torch.utils.data import DataLoader

    rows = _load(out).with_format("torch")
    triples: list[tuple[str, Any, int]] = []
    for batch in DataLoader(rows.select_columns(["row_id", "image", "label"]), batch_size=64):
        triples += zip(batch["row_id"], batch["image"].numpy(), batch["label"].tolist(), strict=True)
    types = {name: _collated(rows, name) for name in rows.column_names}
    return Reading(rows_of(triples), types)


def _collated(rows: Any, name: str) -> str:
    """What two rows of a column become, of which the first is empty where any is."""
    from torch.utils.data import DataLoader

    empty = rows.data.column(name).is_null().to_pylist()
    ordered = sorted(range(len(rows)), key=lambda row: not empty[row])
    two = [ordered[0], ordered[-1]]
    try:
        value = next(iter(DataLoader(rows.select(two).select_columns([name]), batch_size=2)))[name]
    except TypeError:
        return "refused"
    return f"tensor {value.dtype}".replace("torch.", "") if hasattr(value, "dtype") else f"list of {_types(value)}"


def with_duckdb(out: Path) -> Reading:
    import duckdb

    relation = duckdb.read_parquet(files_of(out))
    rows = rows_of(relation.select("row_id, image.bytes, label").fetchall())
    types = [str(kind).replace('"', "") for kind in relation.types]
    return Reading(rows, dict(zip(relation.columns, types, strict=True)))


def with_polars(out: Path) -> Reading:
    import polars

    frame = polars.scan_parquet(files_of(out)).collect()
    columns = (frame["row_id"], frame["image"].struct.field("bytes"), frame["label"])
    types = {name: re.sub(r"[{}']", "", str(kind)) for name, kind in frame.schema.items()}
    return Reading(rows_of(zip(*(column.to_list() for column in columns), strict=True)), types)


def with_pandas(out: Path) -> Reading:
    import pandas as pd

    frame = pd.read_parquet(files_of(out))
    columns = (frame["row_id"], (image["bytes"] for image in frame["image"]), frame["label"].tolist())
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    for name, kind in types.items():
        if kind == "object":
            types[name] = "object of " + _types(frame[name])
    return Reading(rows_of(zip(*columns, strict=True)), types)


def with_mlcroissant(out: Path) -> Reading:
    """Raises ValueError where mlcroissant has an error or a warning."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    if issues.errors or issues.warnings:
        raise ValueError(issues.report())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = list(dataset.records("rows"))
    triples = ((r["rows/row_id"].decode(), r["rows/image"], r["rows/label"]) for r in records)
    types = {c.name: _types(record[f"rows/{c.name}"] for record in records) for c in COLUMNS}
    return Reading(rows_of(triples), types)


def with_pyiceberg(out: Path) -> Reading:
    """Rows of a table that `hardset publish --iceberg` made."""
    from pyiceberg.catalog import load_catalog

    catalogue = load_catalog("hardset", uri=f"sqlite:///{out}/_hardset/iceberg/catalog.db")
    table = catalogue.load_table("hardset.rows")
    types = {field.name: re.sub(r"\d+: (\w+): \w+ ", r"\1: ", str(field.field_type)) for field in table.schema().fields}
    rows = arrow_rows(table.scan().to_arrow())
    catalogue.close()
    return Reading(rows, types)


def with_deltalake(out: Path) -> Reading:
    """Rows of a table that `hardset publish --delta` made."""
    from deltalake import DeltaTable

    table = DeltaTable(str(out))
    fields = json.loads(table.schema().to_json())["fields"]
    types = {field["name"]: _delta_type(field["type"]) for field in fields}
    return Reading(arrow_rows(table.to_pyarrow_table()), types)


def _delta_type(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    fields = (f"{field['name']}: {field['type']}" for field in kind["fields"])
    return f"struct<{', '.join(fields)}>"


def _types(values: Iterable[Any]) -> str:
    return " or ".join(sorted({type(value).__name__ for value in values}))


READERS: dict[str, Callable[[Path], Reading]] = {
    "pyarrow.dataset": with_pyarrow,
    "datasets": with_datasets,
    "torch DataLoader on datasets": with_torch,
    "DuckDB": with_duckdb,
    "Polars": with_polars,
    "pandas": with_pandas,
    "mlcroissant": with_mlcroissant,
    "pyiceberg": with_pyiceberg,
    "deltalake": with_deltalake,
}
"""By the name in the docs; ray.data, which needs a Ray of its own, is read in a test of its own."""
