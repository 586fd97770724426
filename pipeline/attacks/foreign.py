"""Attacks of other libraries as a recipe: their images brought onto the budget's 8-bit grid, told and flagged.

Such an attack sees a batch whole and draws from global generators, so a row depends on the others of its shard. The
generators are seeded from the seeds of all rows of the call: a shard is still a pure function of its plan, and made
again it comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.attacks import drawing
from hardset.pipeline.attacks.declared import foreign_attack, resolved
from hardset.pipeline.attacks.foreign_batches import Budget, Ended, Shown, checked
from hardset.pipeline.attacks.generators import own_generators, seed_of
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.lent_model import LentModel, Passes
from hardset.pipeline.attacks.libraries import Lent, batch_of
from hardset.pipeline.attacks.objectives import label_margin
from hardset.pipeline.attacks.pieces import GEOMETRIES
from hardset.pipeline.attacks.recipe import not_finite, on_grid, unknown_label
from hardset.pipeline.batches import CleanRows, MadeRows, Pixels, Reject, RowError
from hardset.pipeline.compute.devices import is_out_of_memory
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.judging.judge import exact_float32
from hardset.pipeline.models.modes import frozen
from hardset.schemas.errors import JobError, RunError, one_line
from hardset.schemas.job.quantities import Range
from hardset.schemas.job.recipes import Attack
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.flags import flags_column

_SLACK = 1e-4
"""Share of the budget by which float32 sums may leave it without being told."""
TRIED = 4
"""Images that an attack is tried on before a run."""


class BrokenImageError(RowError):
    """The attack gives NaN or infinity among the row's pixels."""


class ForeignRecipe:
    """Hands rows and model to an attack of another library, and makes rows of the contract of what comes back."""

    kind = ADVERSARIAL

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
        self.variants = spec.variants
        self._spec, self._classes, self._batch, self._device = spec, classes, batch, device
        self._geometry: Geometry = GEOMETRIES[spec.norm]
        self._model = LentModel(module)
        self._budgets = tuple(self._budget(float(eps), shape) for eps in _each(spec))

    def _budget(self, eps: float, shape: tuple[int, int, int]) -> Budget:
        spec, attack = self._spec, foreign_attack(self._spec.name)
        lent = Lent(
            self._model, self._classes, shape, self._device, self._batch, spec.norm, eps, spec.target is not None,
            spec.settings or {},
        )  # fmt: skip
        with own_generators(0, self._device):  # some draw where they are made
            made = batch_of(spec.name, attack, lent)
        return Budget(eps, int(self._geometry.budget(np.array([eps]))[0]), made)

    @property
    def asked_for_gradients(self) -> bool:
        """Whether the last call had a forward pass that a gradient may be asked of."""
        return self._model.passes.gradients > 0

    def try_out(self, pixels: Pixels) -> None:
        """Attacks a few images (N, H, W, C) twice, in its smallest budget.

        Raises JobError where the second time gives others, or as `make`.
        """
        images = unit_images(torch.from_numpy(pixels[:TRIED].copy()).to(self._device).permute(0, 3, 1, 2)).contiguous()
        labels = self._logits(images).argmax(dim=1)
        targets = None if self._spec.target is None else (labels + 1) % self._classes
        found = []
        for _ in range(2):
            with frozen(self._model), exact_float32(self._device), own_generators(0, self._device):
                found.append(self._attacked(self._budgets[0], images, labels, targets, 0)[0])
        if not torch.equal(*found) and all(bool(one.isfinite().all()) for one in found):
            raise JobError(
                f"{self._spec.name}: gives other images when it is called again from the same seeds, so that its rows "
                "could not be made again: it draws from a generator of its own, or remembers its last call; give it a "
                "seed under settings where it takes one, or take another attack"
            )

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """The made rows, in the order (parent, variant), and the columns that `MadeRows` names.

        Raises JobError where what comes back is no batch of images of the same shape in [0, 1], RunError where the
        attack fails.
        """
        known = (rows.labels >= 0) & (rows.labels < self._classes)
        rejects = [unknown_label(rows, int(at), self._classes) for at in np.flatnonzero(~known)]
        kept, keys = np.flatnonzero(known), seeds.reshape(len(rows), self.variants)
        seed = seed_of(keys[kept])
        with frozen(self._model), exact_float32(self._device), own_generators(seed, self._device):
            parts = [
                self._made(rows, kept[first : first + self._batch], keys, seed + first)
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

    def _made(self, rows: CleanRows, kept: NDArray[np.int64], keys: NDArray[np.int64], seed: int) -> MadeRows:
        """A batch in all budgets; a row that is lost in one is lost."""
        shown = self._shown(rows, kept, keys)
        ended = [self._ended(budget, shown, seed) for budget in self._budgets]
        broken = np.any([one.broken.cpu().numpy() for one in ended], axis=0)
        lost = broken | np.any([~one.logits.isfinite().all(dim=1).cpu().numpy() for one in ended], axis=0)
        columns = [self._columns(budget, shown, one) for budget, one in zip(self._budgets, ended, strict=True)]
        pixels = [one.stored.permute(0, 2, 3, 1).contiguous().cpu().numpy() for one in ended]
        return MadeRows(
            pixels=_by_row(pixels, ~lost),
            parents=np.repeat(kept[~lost], self.variants),
            variants=np.tile(np.arange(self.variants, dtype=np.int32), int((~lost).sum())),
            columns={name: _by_row([one[name] for one in columns], ~lost) for name in columns[0]},
            rejects=tuple(self._lost(rows, int(kept[at]), bool(broken[at])) for at in np.flatnonzero(lost)),
        )

    def _shown(self, rows: CleanRows, kept: NDArray[np.int64], keys: NDArray[np.int64]) -> Shown:
        pixels = torch.from_numpy(rows.pixels[kept]).to(self._device).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(rows.labels[kept]).to(self._device)
        images, spec = unit_images(pixels), self._spec
        wrong = torch.zeros_like(labels, dtype=torch.bool)
        clean = self._logits(images) if spec.misclassified == "skip" or spec.target is not None else None
        if clean is not None and spec.misclassified == "skip":
            wrong = clean.argmax(dim=1) != labels
        targets = None
        if clean is not None and spec.target is not None:  # all budgets of a row share its target
            first = torch.from_numpy(np.ascontiguousarray(keys[kept, 0])).to(self._device)
            targets = drawing.targets(spec.target, labels, first, clean)
        return Shown(images, pixels, labels, targets, wrong)

    def _ended(self, budget: Budget, shown: Shown, seed: int) -> Ended:
        images, searched = shown.images, ~shown.wrong & ~shown.own & (budget.units > 0)
        raw, passes = images.clone(), Passes(0, 0)
        if bool(searched.any()):
            targets = None if shown.targets is None else shown.targets[searched]
            raw[searched], passes = self._attacked(budget, images[searched], shown.labels[searched], targets, seed)
        broken = ~raw.flatten(1).isfinite().all(dim=1)
        raw[broken] = images[broken]
        stored = self._stored(budget, raw, shown)
        return Ended(raw, stored, self._logits(raw), searched, broken, passes)

    def _columns(self, budget: Budget, shown: Shown, ended: Ended) -> dict[str, NDArray[Any]]:
        count, searched = len(shown.labels), ended.searched.cpu().numpy()
        columns = {
            "eps": np.full(count, budget.eps),
            "norm": np.full(count, STORED_NORMS[self._geometry.name], object),
            "steps": np.where(searched, ended.passes.gradients, 0).astype(np.int32),
            "queries": np.where(searched, ended.passes.queries, 0).astype(np.int32),
            "found_by": np.full(count, self._spec.name, object),
            "flags": np.array(self._flags(budget, shown, ended), object),
            "float_pred": ended.logits.argmax(dim=1).cpu().numpy(),
            "float_margin": label_margin(ended.logits, shown.labels).cpu().numpy(),
        }
        if shown.targets is not None:
            columns["target_label"] = shown.targets.cpu().numpy()
        return columns

    def _flags(self, budget: Budget, shown: Shown, ended: Ended) -> list[str]:
        reached = shown.reached(ended.logits)
        kept = shown.reached(self._logits(unit_images(ended.stored)))
        masks = {
            "no_budget": torch.full_like(shown.wrong, budget.units == 0),
            "unmoved": ended.searched & (ended.stored == shown.pixels).flatten(1).all(dim=1),
            "misclassified": shown.wrong,
            "target_is_label": shown.own,
            "cut_back": self._left(budget, ended.raw, shown.images),
            "lost_in_storing": reached & ~kept,
            "shard_bound": torch.ones_like(shown.wrong),
        }
        return flags_column({name: mask.cpu().numpy() for name, mask in masks.items()})

    def _attacked(
        self, budget: Budget, images: Tensor, labels: Tensor, targets: Tensor | None, seed: int
    ) -> tuple[Tensor, Passes]:
        """Images as the attack gives them, float32 (N, C, H, W), and the passes it made for them."""
        self._model.passes = Passes(0, 0)
        try:
            with torch.enable_grad():
                aims = None if targets is None else targets.clone()
                found = budget.attack(images.clone(), labels.clone(), aims, seed)
        except Exception as error:  # it is not our code
            if is_out_of_memory(error):
                raise
            raise RunError(f"{self._spec.name} fails: {type(error).__name__}: {one_line(error)}") from error
        return checked(self._spec.name, found, images), self._model.passes

    def _logits(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self._model.module(images).float()
        return logits

    def _stored(self, budget: Budget, raw: Tensor, shown: Shown) -> Tensor:
        radius = torch.from_numpy(self._geometry.radius(np.full(len(raw), budget.eps))).to(raw)
        inside = self._geometry.project(raw.clamp(0, 1), shown.images, radius)
        units = torch.full((len(raw),), budget.units, dtype=torch.int64, device=raw.device)
        return on_grid(self._geometry, inside, shown.pixels, units)

    def _left(self, budget: Budget, raw: Tensor, images: Tensor) -> Tensor:
        """Whether each image lies out of its budget or of [0, 1] by more than float32 sums do, bool (N,)."""
        far = self._geometry.norm(raw - images) > budget.eps * (1 + _SLACK) + _SLACK / 255
        out = (raw - raw.clamp(0, 1)).abs().flatten(1).amax(dim=1) > _SLACK / 255
        return far | out

    def _lost(self, rows: CleanRows, at: int, broken: bool) -> Reject:
        if not broken:
            return not_finite(rows, at)
        error = BrokenImageError(f"{self._spec.name} gives NaN or infinity among the row's pixels")
        return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")


def _each(spec: Attack) -> tuple[Fraction, ...]:
    """The budgets, smallest first as the schema has them."""
    assert not isinstance(spec.eps, Range)  # `resolved` lets none through
    return spec.eps if isinstance(spec.eps, tuple) else (spec.eps,)


def _by_row(arrays: Sequence[NDArray[Any]], kept: NDArray[np.bool_]) -> NDArray[Any]:
    """Values of each budget (N, ...) in the order (row, budget), of the rows that are kept."""
    whole = np.stack(arrays, axis=1)[kept]
    return whole.reshape(-1, *whole.shape[2:])
