"""The attack as a recipe: clean rows in, adversarial rows and their columns out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.attacks import drawing, grid
from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.declared import resolved
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.network import search_network
from hardset.pipeline.attacks.objectives import label_margin
from hardset.pipeline.attacks.program import ProgramOutcome, run_program
from hardset.pipeline.attacks.regions import region_masks, unchanged_outside
from hardset.pipeline.attacks.search import SearchRows
from hardset.pipeline.batches import CleanRows, ColumnValues, MadeRows, Pixels, Reject, RowError
from hardset.pipeline.compute import rng
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.compute.runs import runs_of
from hardset.pipeline.compute.transfers import sent
from hardset.schemas.digests import canonical_json
from hardset.schemas.job.recipes import Attack
from hardset.schemas.norms import STORED_NORMS
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.flags import flags_column

_UNUSED = -1
_MOST_VALUES = 2**27  # pixel values attacked in one go: 512 MiB of float results, however many rows a shard has


class LabelError(RowError):
    """The row's label is not one of the model's classes."""


class NonFiniteError(RowError):
    """The model gives NaN or infinite logits for the row."""


class AttackRecipe:
    """Moves every row within its budget until the model errs; a row that resists comes out as the worst one found.

    Several budgets make several rows of each clean row; with `chain` each search starts where the next smaller one
    ended. Hand over as many rows as memory allows at once: slots are refilled across the whole call.
    """

    kind = ADVERSARIAL

    def __init__(
        self,
        spec: Attack,
        *,
        module: nn.Module,
        classes: int,
        batch: int,
        precision: Literal["float32", "bfloat16"] = "float32",
        compile: bool = False,
        parts: tuple[nn.Module, ...] = (),
        device: torch.device,
        divider: Divider | None = None,
    ) -> None:
        """`spec`: resolved or not. `module`: images in [0, 1], NCHW, to logits; frozen, in eval mode, on `device`.

        `batch`: rows in one forward pass; shorter calls are padded to it, so a row's bytes depend on the shape alone.
        `parts`: members of an ensemble whose losses are averaged; empty: the loss of `module`. `divider`: what runs a
        batch that memory does not hold. Raises JobError where code of the user's, attack or objective, cannot be used.
        """
        spec = resolved(spec, classes)
        self.op = spec.op
        self.variants = spec.variants
        self._spec = spec
        self._classes = classes
        self._stages = stages_of(spec, classes)
        self._geometry = self._stages[0].search.geometry
        networks = [
            search_network(part, precision=precision, compile=compile, device=device) for part in parts or (module,)
        ]
        plain = not parts and networks[0].exact
        self._engine = Engine(module, batch, device, () if plain else tuple(networks), divider or Divider())

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """The made rows, in the order (parent, variant), and the columns that `MadeRows` names.

        SearchRows with an impossible label, or for which the model is not finite, become rejects.
        """
        known = (rows.labels >= 0) & (rows.labels < self._classes)
        rejects = [unknown_label(rows, int(at), self._classes) for at in np.flatnonzero(~known)]
        keys = seeds.reshape(len(rows), self.variants)
        chunks = [self._chunk(rows, kept, keys[kept]) for kept in self._chunks(rows, np.flatnonzero(known))]
        rejects += [reject for chunk in chunks for reject in chunk.rejects]
        parents = np.concatenate([chunk.parents for chunk in chunks] or [np.zeros(0, np.int64)])
        return MadeRows(
            pixels=np.concatenate([chunk.pixels for chunk in chunks]) if chunks else rows.pixels[:0],
            parents=parents,
            variants=np.concatenate([chunk.variants for chunk in chunks] or [np.zeros(0, np.int32)]),
            columns=_joined([chunk.columns for chunk in chunks]),
            rejects=tuple(rejects),
        )

    def _chunks(self, rows: CleanRows, kept: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        values = max(int(np.prod(rows.pixels.shape[1:])) * self.variants, 1)
        most = max(_MOST_VALUES // values, self._engine.batch)
        for first in range(0, len(kept), most):
            yield kept[first : first + most]

    def _chunk(self, rows: CleanRows, kept: NDArray[np.int64], keys: NDArray[np.int64]) -> MadeRows:
        drawn = self._drawn(rows, kept, keys)
        ended = run_program(
            self._engine,
            self._stages,
            drawn.rows,
            drawn.eps,
            drawn.clean_logits,
            self.variants,
            chain=bool(self._spec.chain),
        )
        pixels = self._stored(drawn, ended)
        logits = self._float_logits(ended.images)
        whole = logits.isfinite().all(dim=1).cpu().numpy().reshape(-1, self.variants).all(axis=1)
        finite = np.repeat(whole, self.variants)
        columns = self._columns(drawn, ended, logits, pixels)
        return MadeRows(
            pixels=pixels[finite],
            parents=np.repeat(kept, self.variants)[finite],
            variants=np.tile(np.arange(self.variants, dtype=np.int32), len(kept))[finite],
            columns={name: np.asarray(values)[finite] for name, values in columns.items()},
            rejects=tuple(not_finite(rows, int(at)) for at in kept[~whole]),
        )

    def _drawn(self, rows: CleanRows, kept: NDArray[np.int64], seeds: NDArray[np.int64]) -> _Drawn:
        device, spec = self._engine.device, self._spec
        keys = torch.from_numpy(np.ascontiguousarray(seeds).reshape(-1)).to(device)
        # All budgets of a source row share its region and target: where they are chained, each goes on from the next
        # smaller one's result.
        shared = keys[:: self.variants].repeat_interleave(self.variants)
        labels = torch.from_numpy(np.repeat(rows.labels[kept], self.variants)).to(device)
        clean = torch.from_numpy(rows.pixels[kept]).to(device).permute(0, 3, 1, 2).contiguous()
        logits = self._clean_logits(clean, None if rows.logits is None else rows.logits[kept])
        pixels = clean.repeat_interleave(self.variants, dim=0)
        eps = drawing.budgets(spec.eps, keys, self.variants)
        budget = self._geometry.budget(eps)
        wrong = np.zeros(len(keys), bool)
        if logits is not None and spec.misclassified == "skip":
            wrong = (logits.argmax(dim=1) != labels).cpu().numpy()
        sizes = np.full(len(keys), np.nan)
        if spec.step_size is not None:
            sizes = drawing.amounts(spec.step_size, keys, rng.Draw.STEP_SIZE)
        targets = torch.full_like(labels, _UNUSED)
        if logits is not None and spec.target is not None:
            targets = drawing.targets(spec.target, labels, shared, logits)
        own = (targets == labels).cpu().numpy()
        searched = SearchRows(
            pixels=pixels,
            labels=labels,
            targets=targets[:, None],
            seeds=keys,
            radius=self._geometry.radius(eps),
            budget=np.where(wrong | own, 0, budget),
            step_size=sizes,
            mask=None if spec.region is None else region_masks(spec.region, shared, (pixels.shape[2], pixels.shape[3])),
        )
        return _Drawn(searched, eps, budget, wrong, own, logits)

    def _clean_logits(self, clean: Tensor, known: NDArray[np.float32] | None) -> Tensor | None:
        """Logits of the clean images, one line per made row; None where nothing depends on them.

        `known`: those that the judge gave, where it was asked before.
        """
        towards = any(stage.targets for stage in self._stages)
        if self._spec.misclassified == "attack" and self._spec.target is None and not towards:
            return None
        logits = self._engine.logits(unit_images(clean)) if known is None else sent(known, self._engine.device)
        return logits.repeat_interleave(self.variants, dim=0)

    def _float_logits(self, images: Tensor) -> Tensor:
        """Logits of the results before storing, float32 (N, K); a row that took another budget's over takes its too."""
        if self.variants == 1 or self._spec.eot > 1:
            return self._engine.logits(images)
        equal = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        equal[1:] = (images[1:] == images[:-1]).flatten(1).all(dim=1)
        equal[:: self.variants] = False
        first, run = runs_of(equal.cpu().numpy())
        return self._engine.logits(images.index_select(0, sent(first, images.device)))[sent(run, images.device)]

    def _stored(self, drawn: _Drawn, ended: ProgramOutcome) -> Pixels:
        rows = drawn.rows
        budget = torch.from_numpy(rows.budget).to(rows.pixels.device)
        stored = on_grid(self._geometry, ended.images, rows.pixels, budget)
        if rows.mask is not None:
            _demand_held(unchanged_outside(stored, rows.pixels, rows.mask))
        return stored.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _columns(
        self, drawn: _Drawn, ended: ProgramOutcome, logits: Tensor, pixels: Pixels
    ) -> Mapping[str, ColumnValues]:
        names = np.array([stage.name for stage in self._stages], object)
        columns: dict[str, ColumnValues] = {
            "eps": drawn.eps,
            "norm": np.full(len(drawn.eps), STORED_NORMS[self._geometry.name], object),
            "steps": ended.gradients,
            "queries": ended.queries,
            "found_by": names[ended.stage],
            "flags": np.array(self._flags(drawn, ended, pixels), object),
            "params": _nonfinite_shares(ended, int(drawn.rows.pixels[0].numel())),
            "float_pred": logits.argmax(dim=1).cpu().numpy(),
            "float_margin": label_margin(logits, drawn.rows.labels).cpu().numpy(),
        }
        if self._spec.target is not None:
            columns["target_label"] = drawn.rows.targets[:, 0].cpu().numpy()
        return columns

    def _flags(self, drawn: _Drawn, ended: ProgramOutcome, pixels: Pixels) -> list[str]:
        searched = drawn.rows.budget > 0
        asked = ended.gradients + ended.queries > 0
        clean = drawn.rows.pixels.permute(0, 2, 3, 1).cpu().numpy()
        few = np.array([stage.few_classes for stage in self._stages])
        return flags_column(
            {
                "zero_gradient": (ended.gradients > 0) & (2 * ended.flat >= ended.gradients),
                "nonfinite_gradient": ended.nonfinite > 0,
                "no_rise": asked & ~ended.rose,
                "few_classes": searched & bool(few.any()),
                "no_budget": drawn.budget == 0,
                "unmoved": searched & (pixels == clean).all(axis=(1, 2, 3)),
                "misclassified": drawn.wrong,
                "target_is_label": drawn.own,
            }
        )


@dataclass(frozen=True)
class _Drawn:
    """Rows in the order (parent, variant) with everything drawn for them."""

    rows: SearchRows
    eps: NDArray[np.float64]
    budget: NDArray[np.int64]
    """Budget that eps allows; `rows.budget` is 0 for rows that are skipped as well."""
    wrong: NDArray[np.bool_]
    """Whether the row is skipped because the model errs on the clean image."""
    own: NDArray[np.bool_]
    """Whether the row is skipped because the target is its own label."""
    clean_logits: Tensor | None


def _nonfinite_shares(ended: ProgramOutcome, values: int) -> NDArray[np.object_]:
    """JSON of the share of each row's gradient components that were NaN or infinite; None where none was.

    `values`: components of one gradient.
    """
    shares: list[str | None] = [
        canonical_json({"nonfinite_gradient": round(int(lost) / (int(gradients) * values), 6)}) if lost else None
        for lost, gradients in zip(ended.nonfinite, ended.gradients, strict=True)
    ]
    return np.array(shares, object)


def _joined(columns: list[Mapping[str, ColumnValues]]) -> Mapping[str, ColumnValues]:
    if not columns:
        return {}
    return {name: np.concatenate([np.asarray(one[name]) for one in columns]) for name in columns[0]}


def on_grid(geometry: Geometry, images: Tensor, pixels: Tensor, budget: Tensor) -> Tensor:
    """Images (N, C, H, W) in [0, 1] as they are stored, uint8. Raises AssertionError where a row leaves its budget.

    `pixels`: the clean levels, uint8; `budget` (N,): in the units of the geometry.
    """
    stored = geometry.to_grid(images, pixels.to(torch.float32), budget).to(torch.uint8)
    _demand_held(grid.within(stored, pixels, budget, geometry.name))
    return stored


def _demand_held(held: Tensor) -> None:
    if not bool(held.all()):
        raise AssertionError(f"{int((~held).sum())} rows left their budget on the 8-bit grid")


def unknown_label(rows: CleanRows, at: int, classes: int) -> Reject:
    """The reject of a row whose label is none of the model's classes."""
    error = LabelError(f"label {rows.labels[at]} is not a class; the model has 0 to {classes - 1}")
    return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")


def not_finite(rows: CleanRows, at: int) -> Reject:
    """The reject of a row for which the model is not finite."""
    error = NonFiniteError("the model gives NaN or infinite logits for this row")
    return Reject.of(error, index=int(rows.indices[at]), key=rows.keys[at], stage="make")
