"""A recipe as its conformance kit uses it: a few small images, a small model, and rows made as a run makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn

from hardset.pipeline.attacks.declared import resolved
from hardset.pipeline.batches import CleanRows, MadeRows, Partners, Recipe
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.models.loading import LoadedModel
from hardset.pipeline.recipes.table import RecipeContext, build_recipe, variants
from hardset.schemas.digests import image_sha256, row_seed
from hardset.schemas.job.job import Run
from hardset.schemas.job.recipes import Attack, Augment, WorstOf
from hardset.schemas.job.recipes import Recipe as DeclaredRecipe
from hardset.schemas.records.run import Image

DECLARED: TypeAdapter[Any] = TypeAdapter(DeclaredRecipe)
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class RecipeExample:
    """A recipe as the kit uses it."""

    recipe: Mapping[str, Any]
    """An entry of a job file's `recipes`, of the kind attack or augment."""
    model: nn.Module | None = None
    """Classifier under attack: float32 images (N, C, H, W) in [0, 1] to logits (N, classes). None: a small network of
    random weights."""
    classes: int = 5
    rows: int = 10
    shape: tuple[int, int, int] = (8, 8, 3)
    """Height, width and channels of the images."""
    batch: int = 4

    @cached_property
    def declared(self) -> Attack | WorstOf | Augment:
        """The recipe with all settings written out. Raises JobError where its code cannot be used."""
        declared = DECLARED.validate_python(dict(self.recipe))
        return resolved(declared, self.classes) if isinstance(declared, Attack) else declared

    @cached_property
    def clean(self) -> CleanRows:
        """Images of uniform noise, labelled by the model, so that an attack has something to do."""
        pixels = np.random.default_rng(0).integers(0, 256, (self.rows, *self.shape), np.uint8)
        with torch.no_grad():
            logits = self.network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
        keys = tuple(f"row#{number}" for number in range(self.rows))
        return CleanRows(pixels, logits.argmax(dim=1).numpy(), keys, np.arange(self.rows))

    @cached_property
    def partners(self) -> Partners:
        """The rows themselves, as a pool for operations that mix."""
        digests = tuple(image_sha256(pixels) for pixels in self.clean.pixels)
        return Partners(self.clean.pixels, self.clean.labels, self.clean.keys, digests)

    @cached_property
    def network(self) -> nn.Module:
        """The model under attack, frozen, in eval mode."""
        return (self.model or _small_network(self.classes, self.shape[2])).eval().requires_grad_(False)

    @cached_property
    def seeds(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """int64 (rows, variants), worked out of keys as a run does."""
        return np.array(
            [
                [row_seed(run_seed=0, recipe="", source_key=key, variant=one) for one in range(variants(self.declared))]
                for key in self.clean.keys
            ],
            np.int64,
        )

    @cached_property
    def made(self) -> MadeRows:
        """All rows, made at once."""
        return self.make(np.arange(self.rows))

    def make(self, places: np.ndarray[Any, Any]) -> MadeRows:
        """The rows at `places` of the clean ones, made by a recipe that has made none before."""
        return self.built().make(self.clean.take(places), self.seeds[places])

    def built(self) -> Recipe:
        """The recipe, as a worker builds it."""
        height, width, channels = self.shape
        context = RecipeContext(
            run=Run(batch=self.batch),
            image=Image(height=height, width=width, channels=channels),
            classes=self.classes,
            device=_CPU,
            victim=LoadedModel(self.network, "kit", "0" * 64, self.classes),
            generator_sha256="",
            divider=Divider(),
            partners=lambda split: self.partners,
        )
        return build_recipe(self.declared, context)


def _small_network(classes: int, channels: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, classes),
        )
