"""Storage of parts: one Parquet file each, named by the part's key, so that a second start finds existing parts."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.batches import Pixels
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPart
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError, one_line

PARTS = "_hardset/evaluation/parts"
_KEY, _LOST, _SECONDS = b"hardset.part", b"hardset.lost", b"hardset.seconds"


def part_table(part: EvaluationPart, table: pa.Table, *, lost: int = 0, seconds: float = 0.0) -> pa.Table:
    """The table with facts of the whole part in its metadata. `lost`: number of rows that could not be read."""
    metadata = {_KEY: part.key.encode(), _LOST: str(lost).encode(), _SECONDS: f"{seconds:.3f}".encode()}
    return table.replace_schema_metadata(metadata)


@dataclass(frozen=True)
class Stored:
    """A stored part."""

    table: pa.Table
    lost: int
    seconds: float


@dataclass(frozen=True)
class PartStore:
    """Store of the parts of the evaluations in a folder."""

    folder: Folder

    def keys(self) -> set[str]:
        """Keys of the stored parts."""
        return {path.rpartition("/")[2].removesuffix(".parquet") for path in self.folder.list(f"{PARTS}/")}

    def write(self, part: EvaluationPart, table: pa.Table) -> None:
        """Writes a part atomically; writing it again changes nothing."""
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True, write_statistics=False)
        self.folder.write(_path(part.key), sink.getvalue())

    def read(self, key: str, columns: list[str] | None = None) -> Stored:
        """Reads a part, or some of its columns. Raises RunError if it is damaged."""
        try:
            data = self.folder.read(_path(key))
            table = pq.read_table(io.BytesIO(data), columns=columns, page_checksum_verification=True)
            return _stored(table, key)
        except (FileNotFoundError, pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else one_line(error)
            raise RunError(
                f"{self.folder.name}: {_path(key)} cannot be used ({reason}); remove it and start again, then it is "
                "made anew"
            ) from error

    def pixels(self, key: str, shape: tuple[int, ...]) -> Pixels:
        """Attacked rows of an attack's part at the threat's budget, uint8 of `shape` (N, H, W, C)."""
        table = self.read(key, ["pixels"] if shape[0] else []).table
        kept = table.column("pixels").drop_null().to_pylist() if shape[0] else []
        return np.frombuffer(b"".join(kept), np.uint8).reshape(shape)


def _stored(table: pa.Table, key: str) -> Stored:
    metadata = table.schema.metadata or {}
    if metadata.get(_KEY) != key.encode():
        raise ValueError("it holds another part")
    return Stored(table, int(metadata[_LOST]), float(metadata[_SECONDS]))


def _path(key: str) -> str:
    return f"{PARTS}/{key}.parquet"
