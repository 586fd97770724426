"""Attacks of other libraries as a recipe: their images brought onto the budget's 8-bit grid, told and flagged.

Such an attack sees a batch whole and draws from global generators, so a row depends on the others of its shard. The
generators are seeded from the seeds of all rows of the call: a shard is still a pure function of its plan, and made
again it comes out the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.attacks.declared import foreign_attack, resolved
from hardset.pipeline.attacks.generators import own_generators, seed_of
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.libraries import Lent, batch_of
from hardset.pipeline.attacks.objectives import label_margin
from hardset.pipeline.attacks.pieces import GEOMETRIES
from hardset.pipeline.attacks.recipe import not_finite, on_grid, unknown_label
from hardset.pipeline.batches import CleanRows, MadeRows, Pixels, Reject, RowError
from hardset.pipeline.compute.devices import is_out_of_memory
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.extensions.imports import one_line
from hardset.pipeline.judging.judge import exact_float32
from hardset.pipeline.models.modes import frozen
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.recipes import Attack
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.flags import flags_column

_SLACK = 1e-4
"""Share of the budget by which float32 sums may leave it without being told."""
TRIED = 4
"""Images that an attack is tried on before a run."""
_FARTHEST = 1.0
"""How far out of [0, 1] a value may lie before the images are taken for ones of another scale."""


class BrokenImageError(RowError):
    """The attack gives NaN or infinity among the row's pixels."""


class ForeignRecipe:
    """Hands rows and model to an attack of another library, and makes rows of the contract of what comes back."""

    kind = ADVERSARIAL
    variants = 1

    def __init__(
        self,
        spec: Attack,
        *,
        module: nn.Module,
        classes: int,
        batch: int,
        shape: tuple[int, int, int],
        device: torch.device,
    ) -> None:
        """`module`: as in `AttackRecipe`. `batch`: rows that the attack is given at once. `shape`: channels, height,
        width. Raises JobError where the attack cannot be imported or refuses its settings.
        """
        spec = resolved(spec, classes)
        self.op = spec.op
        self._spec, self._classes, self._batch, self._device = spec, classes, batch, device
        self._geometry: Geometry = GEOMETRIES[spec.norm]
        self._eps = float(spec.eps)  # type: ignore[arg-type]  # `resolved` lets through one number alone
        self._budget = int(self._geometry.budget(np.array([self._eps]))[0])
        self._model = LentModel(module)
        lent = Lent(self._model, classes, shape, device, batch, spec.norm, self._eps, spec.settings or {})
        with own_generators(0, device):  # some draw where they are made
            self._attack = batch_of(spec.name, foreign_attack(spec.name), lent)

    def try_out(self, pixels: Pixels) -> None:
        """Attacks a few images (N, H, W, C) twice. Raises JobError where the second time gives others, or as `make`."""
        images = unit_images(torch.from_numpy(pixels[:TRIED].copy()).to(self._device).permute(0, 3, 1, 2)).contiguous()
        labels = self._logits(images).argmax(dim=1)
        found = []
        for _ in range(2):
            with frozen(self._model), exact_float32(self._device), own_generators(0, self._device):
                found.append(self._attacked(images, labels, 0)[0])
        if not torch.equal(*found) and all(bool(one.isfinite().all()) for one in found):
            raise JobError(
                f"{self._spec.name}: gives other images when it is called again from the same seeds, so that its rows "
                "could not be made again: it draws from a generator of its own, or remembers its last call; give it a "
                "seed under settings where it takes one, or take another attack"
            )

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """The made rows in the order of their clean ones, and the columns that `MadeRows` names.

        Raises JobError where what comes back is no batch of images of the same shape in [0, 1], RunError where the
        attack fails.
        """
        known = (rows.labels >= 0) & (rows.labels < self._classes)
        rejects = [unknown_label(rows, int(at), self._classes) for at in np.flatnonzero(~known)]
        kept = np.flatnonzero(known)
        seed = seed_of(seeds[kept])
        with frozen(self._model), exact_float32(self._device), own_generators(seed, self._device):
            parts = [
                self._made(rows, kept[first : first + self._batch], seed + first)
                for first in range(0, len(kept), self._batch)
            ]
        rejects += [reject for part in parts for reject in part.rejects]
        names = parts[0].columns if parts else ()
        return MadeRows(
            pixels=np.concatenate([part.pixels for part in parts]) if parts else rows.pixels[:0],
            parents=np.concatenate([part.parents for part in parts] or [np.zeros(0, np.int64)]),
            variants=np.concatenate([part.variants for part in parts] or [np.zeros(0, np.int32)]),
            columns={name: np.concatenate([np.asarray(part.columns[name]) for part in parts]) for name in names},
            rejects=tuple(rejects),
        )

    def _made(self, rows: CleanRows, kept: NDArray[np.int64], seed: int) -> MadeRows:
        batch = self._ended(rows, kept, seed)
        lost = (batch.broken | ~batch.logits.isfinite().all(dim=1)).cpu().numpy()
        columns = self._columns(batch)
        return MadeRows(
            pixels=batch.stored.permute(0, 2, 3, 1).contiguous().cpu().numpy()[~lost],
            parents=kept[~lost],
            variants=np.zeros(int((~lost).sum()), np.int32),
            columns={name: values[~lost] for name, values in columns.items()},
            rejects=tuple(self._lost(rows, int(kept[at]), bool(batch.broken[at])) for at in np.flatnonzero(lost)),
        )

    def _ended(self, rows: CleanRows, kept: NDArray[np.int64], seed: int) -> _Ended:
        pixels = torch.from_numpy(rows.pixels[kept]).to(self._device).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(rows.labels[kept]).to(self._device)
        images = unit_images(pixels)
        skipped = torch.zeros_like(labels, dtype=torch.bool)
        if self._spec.misclassified == "skip":
            known = None if rows.logits is None else torch.from_numpy(rows.logits[kept]).to(self._device)
            skipped = (self._logits(images) if known is None else known).argmax(dim=1) != labels
        searched = ~skipped & (self._budget > 0)
        raw, passes = images.clone(), Passes(0, 0)
        if bool(searched.any()):
            raw[searched], passes = self._attacked(images[searched], labels[searched], seed)
        broken = ~raw.flatten(1).isfinite().all(dim=1)
        raw[broken] = images[broken]
        stored = self._stored(raw, images, pixels)
        return _Ended(images, pixels, labels, raw, stored, self._logits(raw), searched, skipped, broken, passes)

    def _columns(self, batch: _Ended) -> dict[str, NDArray[Any]]:
        count, searched = len(batch.labels), batch.searched.cpu().numpy()
        return {
            "eps": np.full(count, self._eps),
            "norm": np.full(count, STORED_NORMS[self._geometry.name], object),
            "steps": np.where(searched, batch.passes.gradients, 0).astype(np.int32),
            "queries": np.where(searched, batch.passes.queries, 0).astype(np.int32),
            "found_by": np.full(count, self._spec.name, object),
            "flags": np.array(self._flags(batch), object),
            "float_pred": batch.logits.argmax(dim=1).cpu().numpy(),
            "float_margin": label_margin(batch.logits, batch.labels).cpu().numpy(),
        }

    def _flags(self, batch: _Ended) -> list[str]:
        fooled = batch.logits.argmax(dim=1) != batch.labels
        fools = self._logits(unit_images(batch.stored)).argmax(dim=1) != batch.labels
        masks = {
            "no_budget": torch.full_like(batch.skipped, self._budget == 0),
            "unmoved": batch.searched & (batch.stored == batch.pixels).flatten(1).all(dim=1),
            "misclassified": batch.skipped,
            "cut_back": self._left(batch.raw, batch.images),
            "lost_in_storing": fooled & ~fools,
            "shard_bound": torch.ones_like(batch.skipped),
        }
        return flags_column({name: mask.cpu().numpy() for name, mask in masks.items()})

    def _attacked(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Passes]:
        """Images as the attack gives them, float32 (N, C, H, W), and the passes it made for them."""
        self._model.passes = Passes(0, 0)
        try:
            with torch.enable_grad():
                found = self._attack(images.clone(), labels.clone(), seed)
        except Exception as error:  # it is not our code
            if is_out_of_memory(error):
                raise
            raise RunError(f"{self._spec.name} fails: {type(error).__name__}: {one_line(error)}") from error
        return self._checked(found, images), self._model.passes

    def _checked(self, found: Any, images: Tensor) -> Tensor:
        name, wanted = self._spec.name, tuple(images.shape)
        given = torch.from_numpy(found) if isinstance(found, np.ndarray) else found
        if not isinstance(given, Tensor):
            raise JobError(f"{name}: gives a {type(found).__name__}; wants a tensor of images of shape {wanted}")
        if tuple(given.shape) != wanted:
            raise JobError(f"{name}: gives images of shape {tuple(given.shape)}; wants {wanted}, that of its input")
        if not given.is_floating_point():
            raise JobError(f"{name}: gives {given.dtype}; wants floats in [0, 1]")
        given = given.detach().to(images.device, torch.float32)
        far = torch.nan_to_num(given, nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(far.min()), float(far.max())
        if low < -_FARTHEST or high > 1 + _FARTHEST:
            raise JobError(f"{name}: gives values from {low:.3g} to {high:.3g}; wants images in [0, 1], as it is given")
        return given

    def _logits(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self._model.module(images).float()
        return logits

    def _stored(self, raw: Tensor, images: Tensor, pixels: Tensor) -> Tensor:
        radius = torch.from_numpy(self._geometry.radius(np.full(len(raw), self._eps))).to(raw)
        inside = self._geometry.project(raw.clamp(0, 1), images, radius)
        budget = torch.full((len(raw),), self._budget, dtype=torch.int64, device=pixels.device)
        return on_grid(self._geometry, inside, pixels, budget)

    def _left(self, raw: Tensor, images: Tensor) -> Tensor:
        """Whether each image lies out of its budget or of [0, 1] by more than float32 sums do, bool (N,)."""
        far = self._geometry.norm(raw - images) > self._eps * (1 + _SLACK) + _SLACK / 255
        out = (raw - raw.clamp(0, 1)).abs().flatten(1).amax(dim=1) > _SLACK / 255
        return far | out

    def _lost(self, rows: CleanRows, at: int, broken: bool) -> Reject:
        if not broken:
            return not_finite(rows, at)
        error = BrokenImageError(f"{self._spec.name} gives NaN or infinity among the row's pixels")
        return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")


@dataclass(frozen=True)
class Passes:
    """Forward passes of a batch, which are an upper limit for each of its rows."""

    gradients: int
    queries: int


@dataclass(frozen=True)
class _Ended:
    """A batch after its attack; images are (N, C, H, W), masks bool (N,)."""

    images: Tensor
    pixels: Tensor
    """The clean levels, uint8."""
    labels: Tensor
    raw: Tensor
    """Images as the attack gave them; the clean ones of broken rows."""
    stored: Tensor
    """Levels, uint8."""
    logits: Tensor
    """Of `raw`."""
    searched: Tensor
    """Whether the attack was given the row."""
    skipped: Tensor
    broken: Tensor
    """Whether NaN or infinity came back."""
    passes: Passes


class LentModel(nn.Module):
    """The model as it is lent: counts its passes, and stays in eval mode whatever its borrower asks for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = False
        self.passes = Passes(0, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Float32 logits of images in [0, 1], N x C x H x W."""
        differentiable = torch.is_grad_enabled() and images.requires_grad
        self.passes = Passes(self.passes.gradients + differentiable, self.passes.queries + (not differentiable))
        logits: Tensor = self.module(images.float())
        return logits

    def train(self, mode: bool = True) -> LentModel:
        """Changes nothing."""
        return self
