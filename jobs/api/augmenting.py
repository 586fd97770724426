"""`hardset.augment`: images in memory augmented as a run does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hardset.jobs.api.tensors import images_of, rows_of, seeds_of
from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.operations.table import needs_partner
from hardset.schemas.job.recipes import Augment
from hardset.schemas.reading.loading import parse_document

_BATCH = 256


@dataclass(frozen=True)
class Augmented:
    """Augmented images, and what was drawn for each: one entry per image and variant, on the device of the images."""

    images: Tensor
    """Float32 (M, C, H, W) in [0, 1], on the 8-bit grid: what would be stored."""
    parents: Tensor
    """Position of each in the images that were given; int64 (M,)."""
    params: tuple[str, ...]
    """The parameters that were drawn, as in the `params` column: JSON."""


def augment(
    images: Tensor, ops: Sequence[str | Mapping[str, Any] | Spec], *, seed: int = 0, variants: int = 1
) -> Augmented:
    """Augments images in memory with the operations of an augment recipe.

    `images`: float (N, C, H, W) in [0, 1], on any device; they are rounded to the 8-bit grid first. `ops`: operations
    as in a job file, applied in order; a name alone takes their defaults. `seed`: same seed, image and operations, same
    result, whatever other images go along. `variants`: results for each image.

    Raises JobError for operations, settings and tensors that cannot be used.

    >>> import hardset, torch
    >>> images = torch.rand(4, 3, 32, 32)
    >>> result = hardset.augment(images, ["hflip", {"name": "rotate", "degrees": 15}], seed=7, variants=2)
    >>> result.images.shape, result.parents.tolist()
    (torch.Size([8, 3, 32, 32]), [0, 0, 1, 1, 2, 2, 3, 3])
    """
    wanted = [
        one.model_dump() if isinstance(one, Spec) else {"name": one} if isinstance(one, str) else one for one in ops
    ]
    document = {"kind": "augment", "ops": wanted, "variants": variants}
    spec = parse_document(document, (), Augment, name="augment")
    if any(map(needs_partner, spec.ops)):
        raise JobError("augment: mixing draws partners and labels from a pool of a run; make such rows with a job")
    rows = rows_of(images)
    recipe = AugmentRecipe(spec, batch=_BATCH, device=images.device)
    made = recipe.make(rows, seeds_of(rows, seed, recipe.op, variants))
    return Augmented(
        images=images_of(made.pixels, images.device),
        parents=torch.from_numpy(made.parents).to(images.device),
        params=tuple(map(str, made.columns["params"])),
    )
