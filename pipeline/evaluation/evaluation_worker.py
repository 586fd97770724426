"""Worker of an evaluation: builds its tools once and makes parts, which are tables of verdicts, one line per row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.evaluation.conditions import SHIFT, corrupted, shifted
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPart, EvaluationPlan
from hardset.pipeline.evaluation.measure import Measurement, Settings, judged, measure, worst_verdict
from hardset.pipeline.evaluation.parts import PartStore, part_table
from hardset.pipeline.evaluation.training_data import shard_rows
from hardset.pipeline.judging.judge import Verdict
from hardset.pipeline.models.loading import LoadedModel, load_model
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.digests import row_seed
from hardset.schemas.errors import RunError
from hardset.schemas.job.evaluation import EvaluationJob

CLEAN = "clean"
"""Name of the condition of unchanged rows."""


@dataclass(frozen=True)
class EvaluationWorker:
    """Tools of one worker. Models are loaded when first needed, and kept."""

    job: EvaluationJob
    plan: EvaluationPlan
    """Plan of the evaluation; its parts may be left out."""
    device: torch.device
    store: PartStore

    @cached_property
    def source(self) -> SourceReader:
        """Reader of clean rows."""
        return open_source(self.job.source, self.plan.classes, self.plan.commit)

    @cached_property
    def settings(self) -> Settings:
        """Settings of all measurements."""
        run = self.job.run
        return Settings(
            device=self.device,
            batch=run.batch,
            precision=run.precision,
            compile=run.compile,
            seed=self.job.seed,
            stochastic=self.job.stochastic,
        )

    @cached_property
    def _models(self) -> dict[int, LoadedModel]:
        return {}

    def model(self, position: int) -> LoadedModel:
        """Loads a model of the job. Raises RunError if its weights are not those of the plan."""
        if position not in self._models:
            spec = self.job.models[position]
            model = load_model(
                spec.model(self.job.classes),
                channels=self.plan.image.channels,
                device=self.device,
                at=f"models.{position}",
                class_names=self.plan.classes,
            )
            if model.sha256 != self.plan.models[position]:
                name = public_name(spec.weights or str(spec.factory))
                raise RunError(f"{name}: changed since the evaluation was planned; start it again")
            self._models[position] = model
        return self._models[position]

    @cached_property
    def _last(self) -> dict[int, tuple[CleanRows, int]]:
        return {}

    def rows(self, position: int) -> tuple[CleanRows, int]:
        """Rows of a source range, and the number of unreadable rows. The latest range is cached."""
        if position not in self._last:
            self._last.clear()
            rows, rejects = self.source.read(self.plan.ranges[position], self.plan.image, self.job.classes)
            self._last[position] = rows, len(rejects)
        return self._last[position]

    def make(self, part: EvaluationPart) -> pa.Table:
        """Makes the table of a part."""
        makers = {
            "clean": self._clean,
            "corruption": self._corruption,
            "shifts": self._shifts,
            "worst_of": self._worst_of,
            "attack": self._attack,
            "transfer": self._transfer,
            "shards": self._shards,
        }
        return makers[part.kind](part)

    def _judged(self, position: int, pixels: Pixels, labels: NDArray[np.int64]) -> Verdict:
        return judged(self.model(position).module, pixels, labels, self.settings)

    def _clean(self, part: EvaluationPart) -> pa.Table:
        """Table with columns condition, level, row, pred and margin, as of every condition: of unchanged rows."""
        rows, lost = self.rows(part.range)
        return part_table(part, _verdicts(CLEAN, 0, self._judged(part.model, rows.pixels, rows.labels)), lost=lost)

    def _corruption(self, part: EvaluationPart) -> pa.Table:
        rows, lost = self.rows(part.range)
        seeds, name = self._seeds(rows, "corruption"), self.job.corruptions[part.condition]
        tables = [
            _verdicts(
                name,
                severity,
                self._judged(
                    part.model, corrupted(rows.pixels, seeds, name, severity, self.job.strengths), rows.labels
                ),
            )
            for severity in self.job.severities
        ]
        return part_table(part, pa.concat_tables(tables), lost=lost)

    def _shifts(self, part: EvaluationPart) -> pa.Table:
        rows, lost = self.rows(part.range)
        tables = [_verdicts(SHIFT, most, self._worst_shift(part.model, rows, most)) for most in self.job.shifts]
        return part_table(part, pa.concat_tables(tables), lost=lost)

    def _worst_of(self, part: EvaluationPart) -> pa.Table:
        """Of the draw of each row that the attack `worst_of` would store; the level is the number of draws."""
        rows, lost = self.rows(part.range)
        one, module = self.job.worst_of[part.condition], self.model(part.model).module
        found = worst_verdict(module, rows, one, self._seeds(rows, "worst_of"), self.settings, classes=self.job.classes)
        return part_table(part, _verdicts(self.job.worst_labels[part.condition], one.tries, found), lost=lost)

    def _seeds(self, rows: CleanRows, what: str) -> NDArray[np.int64]:
        seeds = [
            row_seed(run_seed=self.job.seed, recipe=f"evaluate/{what}", source_key=key, variant=0) for key in rows.keys
        ]
        return np.asarray(seeds, np.int64)

    def _worst_shift(self, position: int, rows: CleanRows, most: int) -> Verdict:
        """Verdict with the smallest margin over the unchanged row and all its shifts."""
        worst = self._judged(position, rows.pixels, rows.labels)
        for pixels in shifted(rows.pixels, most):
            found = self._judged(position, pixels, rows.labels)
            less = ~(found.margin >= worst.margin)
            worst = _chosen(less, found, worst)
        return worst

    def _attack(self, part: EvaluationPart) -> pa.Table:
        """Table with columns level (index of the budget), row, verdicts, costs, and `pixels` at the threat's budget."""
        rows, lost = self.rows(part.range)
        attack, model = self.job.attacks[part.attack], self.model(part.model)
        if not len(rows):
            return part_table(part, pa.table({}), lost=lost)
        found = measure(
            model.module,
            rows.pixels,
            rows.labels,
            rows.keys,
            attack,
            self.settings,
            classes=self.job.classes,
            parts=model.parts,
        )
        threat = float(self.job.threat_of(attack).eps)
        kept = int(np.flatnonzero(found.eps == threat)[0])
        tables = [_attacked(found, level, with_pixels=level == kept) for level in range(len(found.eps))]
        return part_table(part, pa.concat_tables(tables), lost=lost, seconds=found.seconds)

    def _transfer(self, part: EvaluationPart) -> pa.Table:
        """Table with columns row, pred and margin: the model's verdicts on rows made on another model."""
        rows, lost = self.rows(part.range)
        pixels = self.store.pixels(part.needs, rows.pixels.shape)
        return part_table(part, _verdicts("", 0, self._judged(part.model, pixels, rows.labels)), lost=lost)

    def _shards(self, part: EvaluationPart) -> pa.Table:
        """Table with columns row, pred, margin and label, for the training rows of a dataset."""
        pixels, labels = shard_rows(part.dataset, self.plan.image, self.job.threats[0])
        if not len(labels):
            return part_table(part, pa.table({}))
        table = _verdicts("", 0, self._judged(part.model, pixels, labels))
        return part_table(part, table.append_column("label", pa.array(labels)))


def _chosen(where: NDArray[np.bool_], new: Verdict, old: Verdict) -> Verdict:
    return Verdict(
        pred=np.where(where, new.pred, old.pred),
        margin=np.where(where, new.margin, old.margin),
        confidence=np.where(where, new.confidence, old.confidence),
    )


def _verdicts(condition: str, level: int, verdict: Verdict) -> pa.Table:
    count = len(verdict.pred)
    return pa.table(
        {
            "condition": pa.array([condition] * count, pa.string()),
            "level": pa.array(np.full(count, level, np.int32)),
            "row": pa.array(np.arange(count, dtype=np.int32)),
            "pred": pa.array(verdict.pred),
            "margin": pa.array(verdict.margin),
        }
    )


def _attacked(found: Measurement, level: int, *, with_pixels: bool) -> pa.Table:
    count = len(found)
    pixels = [row.tobytes() for row in found.pixels[level]] if with_pixels else [None] * count
    columns: dict[str, pa.Array] = {
        "level": pa.array(np.full(count, level, np.int32)),
        "row": pa.array(np.arange(count, dtype=np.int32)),
        "pred": pa.array(found.attacked.pred[level]),
        "margin": pa.array(found.attacked.margin[level]),
        "confidence": pa.array(found.attacked.confidence[level]),
        "float_pred": pa.array(found.float_pred[level]),
        "gradients": pa.array(found.gradients[level]),
        "queries": pa.array(found.queries[level]),
        "flags": pa.array(found.flags[level], pa.string()),
        "pixels": pa.array(pixels, pa.binary()),
    }
    return pa.table(dict(columns))
