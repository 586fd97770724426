"""Facts of a shard: known before its first row is read, and all that its stages are told about job and plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hardset.schemas.records.run import Image, Shard, SourceRange
from hardset.schemas.rows.contract import Column


@dataclass(frozen=True)
class ShardFacts:
    """Facts of one shard. Data flows from stage to stage beside them; nothing asks back."""

    shard: Shard
    source_range: SourceRange | None
    """Rows of the source to read; None for samples."""
    source_name: str
    """Value of the column `source_dataset`."""
    user: tuple[Column, ...]
    """Columns of the user's own that every row carries."""
    image: Image
    """Shape of every row that is read."""
    classes: tuple[str, ...]
    """Class names, in label order."""
    run_id: str
    seed: int
    """Seed of the run."""
    kind: str
    """Kind of the rows made: a value of the column `kind`."""
    op: str
    """Value of the column `op`."""
    variants: int
    """Number of rows made from each row that goes in."""
    recipe_id: str
    recipe_text: Mapping[str, Any]
    """Resolved recipe, which `recipe_id` is the digest of."""
    model_id: str | None
    """Name of the model that the rows are made with: under attack, or the generator; None for augmentations."""
    model_sha256: str | None
    """Digest of its weights."""
    models: Mapping[str, str]
    """SHA-256 of all weights of the run, by role, as in the plan."""
    verify_id: str | None
    """Method of computing verdicts; None where the job names no model."""
    keep: Literal["all", "success"]
    """Rows to store: all, or of adversarial rows only those that succeed."""
    png_level: int
    """Compression level, 0 to 9; affects the bytes and not the pixels."""
    device: str
    """Device that makes the rows, as in the receipt."""

    @property
    def parent_name(self) -> str | None:
        """Source of the rows that go in; None for samples, which have none."""
        return self.source_name if self.source_range is not None else None
