"""Keys of shards: digests of all that fixes their bytes, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.pipeline.models.roles import VICTIM, transfer_role
from hardset.pipeline.sources.table import NOT_READING, reading
from hardset.schemas.digests import digest
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Recipe, is_attack
from hardset.schemas.job.sources import ImageSource
from hardset.schemas.records.run import Image, SourceRange

_MODEL_PATHS: Any = {"weights": True, "members": {"__all__": {"weights"}}}
"""Settings of a network that do not fix bytes; the digest of its weights does."""
_FIXES_ROWS = {"split", "file", "start", "stop", "digest", "members", "label"}
"""Fields of a range that affect the bytes of its shards."""


def determinants(
    job: Job, source: str, image: Image, classes: tuple[str, ...], contract: str, user: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Settings that fix the bytes of every shard alike. `user`: names and types of the user's own columns."""
    return {
        **({"user": [[name, kind] for name, kind in user.items()]} if user else {}),
        "contract": contract,
        "seed": job.seed,
        "source": source,
        "reading": reading(job.source, not_reading(job.source)),
        "image": image.model_dump(),
        "classes": classes,
        "model": job.model.model_dump(mode="json", exclude=_MODEL_PATHS) if job.model else None,
        "output": job.output.model_dump(include={"png_level", "keep"}),
        "run": job.run.model_dump(include={"batch", "precision", "compile"}),
    }


def not_reading(source: ImageSource) -> set[str]:
    """Settings of a source that do not affect the bytes of a range; class names are in keys anyway.

    An unset hold-out is left out, as older keys do.
    """
    return {*NOT_READING, *(("hold_out",) if source.hold_out is None else ())}


def common(job: Job, position: int, models: Mapping[str, str], fixed: Mapping[str, Any]) -> str:
    """Digest of what fixes the bytes of all shards of a recipe."""
    return digest({**fixed, "victim": models.get(VICTIM), **_transfer(job, job.recipes[position], models)})


def range_key(common: str, part: SourceRange) -> str:
    """Key of the shard of a range; `common`: digest of what all shards of the recipe have."""
    return digest([common, part.model_dump(include=_FIXES_ROWS | ({"picked"} if part.picked else set()))])


def sample_key(common: str, start: int, stop: int) -> str:
    """Key of the shard of samples `start` to before `stop`."""
    return digest([common, {"samples": [start, stop]}])


def _transfer(job: Job, recipe: Recipe, models: Mapping[str, str]) -> dict[str, Any]:
    """Settings that fix the columns of held-out models, which attacks alone have."""
    if not job.transfer_to or not is_attack(recipe):
        return {}
    declared = [model.model_dump(mode="json", exclude={"weights"}) for model in job.transfer_to]
    return {
        "transfer": [
            [text, models[transfer_role(model.name)]] for text, model in zip(declared, job.transfer_to, strict=True)
        ]
    }
