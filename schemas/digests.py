"""Digests and identifiers of recipes, rows, shards and runs."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys and no spaces; equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(data: bytes | str) -> str:
    """SHA-256 of bytes, or of text as UTF-8, as 64 hex digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return sha256_hex(canonical_json(value))


def image_sha256(pixels: NDArray[np.uint8]) -> str:
    """Digest of decoded pixels (H x W x C, uint8), whatever file format they were stored in."""
    height, width, channels = pixels.shape
    found = hashlib.sha256(f"u8:{height}:{width}:{channels}:".encode())
    found.update(np.ascontiguousarray(pixels).data)  # not copied behind the head
    return found.hexdigest()


def recipe_id(recipe: Mapping[str, Any]) -> str:
    """Id of a fully resolved recipe, 16 hex digits."""
    return digest(recipe)[:16]


def row_id(*, recipe: str, source_sha256: str, source_key: str, variant: int) -> str:
    """Id of an output row, 32 hex digits; the same after a retry, another sharding or another run."""
    return sha256_hex("\x1f".join((recipe, source_sha256, source_key, str(variant))))[:32]


def row_seed(*, run_seed: int, recipe: str, source_key: str, variant: int) -> int:
    """Seed of one output row, 63 bits (blake2b-64, shifted to fit a signed int64)."""
    text = "\x1f".join((str(run_seed), recipe, source_key, str(variant)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def content_sha256(rows: Iterable[tuple[str, str]]) -> str:
    """Digest of a set of (row_id, image_sha256): equal before and after recompression or resharding."""
    pairs = list(rows)
    alike = len({len(row) for row, _ in pairs}) < 2
    lines = [f"{row}:{image}\n" for row, image in (pairs if alike else sorted(pairs))]
    if alike:  # sorting the lines gives the same order as sorting pairs, twice as fast
        lines.sort()
    return sha256_hex("".join(lines))


def plan_digest(job: str, shard_keys: Iterable[str], logical_date: str | None = None) -> str:
    """Digest of a run's plan: job name, shard keys, and logical date (YYYY-MM-DD) if there is one."""
    dated = [] if logical_date is None else [{"logical_date": logical_date}]
    return digest([job, *shard_keys, *dated])


def run_id(plan_digest: str) -> str:
    """UUID of a run, made from its plan and not from the clock (version 8 of RFC 9562)."""
    number = int(plan_digest[:32], 16)
    number = number & ~(0xF000 << 64) | (0x8000 << 64)
    number = number & ~(0xC000 << 48) | (0x8000 << 48)
    return str(uuid.UUID(int=number))
