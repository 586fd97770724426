"""The attack as a recipe: clean rows in, adversarial rows and their columns out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline import rng
from pipeline.attacks import grid
from pipeline.attacks.engine import Engine, Outcome, Rows, Search
from pipeline.attacks.geometries import Geometry
from pipeline.attacks.objectives import label_margin
from pipeline.attacks.table import ATTACKS, GEOMETRIES
from pipeline.rows import CleanRows, ColumnValues, MadeRows, Pixels, Reject, RowError
from schemas.quantities import Amount, Range
from schemas.recipes import Attack
from schemas.rows import ADVERSARIAL

_UNUSED = -1


class LabelError(RowError):
    """The row's label is not one of the model's classes."""


class NonFiniteError(RowError):
    """The model gives NaN or infinite logits for the row."""


class AttackRecipe:
    """Moves every row within its budget until the model errs; a row that resists comes out as the worst one found.

    Rows that were wrong from the start are attacked like the others (whether they count is the judge's affair), as
    are rows whose label is the target. A made row equals its clean row only where the budget holds no 8-bit level or
    the gradient is zero. Hand over as many rows as memory allows at once: slots are refilled across the whole call.
    """

    kind = ADVERSARIAL
    variants = 1

    def __init__(
        self,
        spec: Attack,
        *,
        module: nn.Module,
        classes: int,
        batch: int,
        precision: Literal["float32", "bfloat16"] = "float32",
        device: torch.device,
    ) -> None:
        """`spec`: resolved. `module`: images in [0, 1], NCHW, to logits; frozen, in eval mode, on `device`.

        `batch`: rows in one forward pass; shorter calls are padded to it, so a row's bytes depend on the shape alone.
        """
        self.op = f"{spec.name}_{spec.norm}"
        self._spec = spec
        self._classes = classes
        self._engine = Engine(module, batch, device, precision)
        self._search = _search(spec)

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """The made rows, one per clean row; columns eps, norm, steps, target_label, float_pred and float_margin.

        Rows with an impossible label, or for which the model is not finite, become rejects.
        """
        known = (rows.labels >= 0) & (rows.labels < self._classes)
        rejects = [self._unknown_label(rows, int(at)) for at in np.flatnonzero(~known)]
        kept = np.flatnonzero(known)
        if not len(kept):
            return MadeRows(rows.pixels[:0], kept, kept.astype(np.int32), {}, tuple(rejects))
        drawn = self._drawn(rows, kept, seeds.reshape(len(rows), -1)[:, 0])
        outcome = self._engine.run(self._search, drawn.rows)
        pixels = self._stored(drawn, outcome)
        logits = self._engine.logits(outcome.images)
        finite = logits.isfinite().all(dim=1).cpu().numpy()
        rejects += [_not_finite(rows, int(at)) for at in kept[~finite]]
        columns = self._columns(drawn, outcome, logits)
        return MadeRows(
            pixels=pixels[finite],
            parents=kept[finite],
            variants=np.zeros(int(finite.sum()), np.int32),
            columns={name: np.asarray(values)[finite] for name, values in columns.items()},
            rejects=tuple(rejects),
        )

    def _drawn(self, rows: CleanRows, kept: NDArray[np.int64], seeds: NDArray[np.int64]) -> _Drawn:
        device, geometry = self._engine.device, self._search.geometry
        keys = torch.from_numpy(seeds[kept]).to(device)
        labels = torch.from_numpy(rows.labels[kept]).to(device)
        pixels = torch.from_numpy(rows.pixels[kept]).to(device).permute(0, 3, 1, 2).contiguous()
        eps = _amounts(self._spec.eps, keys, rng.Draw.EPS)
        searched = Rows(
            pixels=pixels,
            labels=labels,
            targets=self._targets(pixels, labels, keys)[:, None],
            seeds=keys,
            radius=geometry.radius(eps),
            budget=geometry.budget(eps),
            step_size=self._step_sizes(eps, keys),
        )
        return _Drawn(searched, eps)

    def _step_sizes(self, eps: NDArray[np.float64], keys: Tensor) -> NDArray[np.float64]:
        if self._spec.step_size is not None:
            return _amounts(self._spec.step_size, keys, rng.Draw.STEP_SIZE)
        sizes: NDArray[np.float64] = eps * float(self._spec.step_share(self._search.steps))
        return sizes

    def _targets(self, pixels: Tensor, labels: Tensor, keys: Tensor) -> Tensor:
        target = self._spec.target
        if isinstance(target, int):
            return torch.full_like(labels, target)
        if target == "next":
            return (labels + 1) % self._classes
        if target == "random":
            others = rng.integers(keys, rng.Draw.TARGET, self._classes - 1)
            return others + (others >= labels)
        if target == "least_likely":
            logits = self._engine.logits(pixels.to(torch.float32) / 255)
            return logits.scatter(1, labels[:, None], torch.inf).argmin(dim=1)
        return torch.full_like(labels, _UNUSED)

    def _stored(self, drawn: _Drawn, outcome: Outcome) -> Pixels:
        rows = drawn.rows
        budget = torch.from_numpy(rows.budget).to(rows.pixels.device)
        levels = self._search.geometry.to_grid(outcome.images, rows.pixels.to(torch.float32), budget)
        stored = levels.to(torch.uint8)
        held = grid.within(stored, rows.pixels, budget, self._search.geometry.name)
        if not bool(held.all()):
            raise AssertionError(f"{int((~held).sum())} rows left their budget on the 8-bit grid")
        return stored.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _columns(self, drawn: _Drawn, outcome: Outcome, logits: Tensor) -> Mapping[str, ColumnValues]:
        columns: dict[str, ColumnValues] = {
            "eps": drawn.eps,
            "norm": np.full(len(drawn.eps), self._search.geometry.name),
            "steps": outcome.gradients,
            "queries": np.zeros(len(drawn.eps), np.int32),
            "found_by": np.full(len(drawn.eps), self._spec.name),
            "flags": np.full(len(drawn.eps), ""),
            "float_pred": logits.argmax(dim=1).cpu().numpy(),
            "float_margin": label_margin(logits, drawn.rows.labels).cpu().numpy(),
        }
        if self._search.targeted:
            columns["target_label"] = drawn.rows.targets[:, 0].cpu().numpy()
        return columns

    def _unknown_label(self, rows: CleanRows, at: int) -> Reject:
        error = LabelError(f"label {rows.labels[at]} is not a class; the model has 0 to {self._classes - 1}")
        return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")


@dataclass(frozen=True)
class _Drawn:
    """Rows with everything drawn for them."""

    rows: Rows
    eps: NDArray[np.float64]


def _search(spec: Attack) -> Search:
    composition, resolved = ATTACKS[spec.name], spec.resolved()
    geometry: Geometry = GEOMETRIES[spec.norm]
    targeted = spec.target is not None
    search = Search(
        objective=composition.targeted_objective if targeted else composition.objective,
        geometry=geometry,
        schedule=composition.schedule,
        steps=resolved.steps or 1,
        restarts=spec.restarts,
        random_start=bool(resolved.random_start),
        targeted=targeted,
    )
    return replace(search, stop=spec.stop)


def _amounts(amount: Amount, keys: Tensor, draw: rng.Draw) -> NDArray[np.float64]:
    """One value per row, float64: the amount itself, or uniform in its range by the row's key."""
    if not isinstance(amount, Range):
        return np.full(len(keys), float(amount))
    share = rng.uniform(keys, draw, (), dtype=torch.float64).cpu().numpy()
    low, high = float(amount.min), float(amount.max)
    drawn: NDArray[np.float64] = low + (high - low) * share
    return drawn


def _not_finite(rows: CleanRows, at: int) -> Reject:
    error = NonFiniteError("the model gives NaN or infinite logits for this row")
    return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")
