"""Gathers the verdicts of an evaluation's parts into arrays over all rows, by model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.evaluation.evaluation_plan import Condition, EvaluationPart, EvaluationPlan
from hardset.pipeline.evaluation.evaluation_worker import CLEAN
from hardset.pipeline.evaluation.measure import budgets, evaluated
from hardset.pipeline.evaluation.parts import PartStore, Stored
from hardset.pipeline.judging.judge import Classes, Floats, Mask
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import digest
from hardset.schemas.errors import RunError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.recipes import Attack
from hardset.schemas.norms import Norm

_CONDITIONS = get_args(Condition)


@dataclass(frozen=True)
class SourceRows:
    """The N evaluated rows, without pixels."""

    labels: Classes
    keys: tuple[str, ...]
    indices: NDArray[np.int64]
    sha256: tuple[str, ...]
    splits: tuple[str, ...]
    counts: tuple[int, ...]
    """Number of rows by source range."""
    lost: int
    """Number of rows that could not be read."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """SHA-256 over keys and pixels."""
        return digest(list(zip(self.keys, self.sha256, strict=True)))


@dataclass(frozen=True)
class AttackVerdicts:
    """One attack on one model, at E budgets."""

    label: str
    attack: Attack
    """The resolved recipe."""
    norm: Norm
    threat: int
    """Position of the threat's budget among `eps`."""
    pred: Classes
    """Predictions (E, N); the shape of all following arrays."""
    margin: Floats
    confidence: Floats
    float_pred: Classes
    gradients: NDArray[np.int32]
    queries: NDArray[np.int32]
    flags: NDArray[np.object_]
    seconds: float

    @property
    def eps(self) -> tuple[str, ...]:
        """Budgets as exact fractions, ascending."""
        eps = self.attack.eps if isinstance(self.attack.eps, tuple) else (self.attack.eps,)
        return tuple(map(str, eps))


@dataclass(frozen=True)
class ModelVerdicts:
    """All verdicts of one model."""

    labels: Classes
    pred: Classes
    """Predictions on the unchanged rows (N,)."""
    margin: Floats
    attacks: tuple[AttackVerdicts, ...]
    conditions: Mapping[tuple[str, int], Classes]
    """Predictions (N,) by condition and level."""
    shards: Mapping[str, tuple[int, int]]
    """Numbers of (correct, all) rows by dataset."""
    transfer: Mapping[tuple[int, int], Classes]
    """Predictions (N,) by (source model, attack)."""

    @property
    def right(self) -> Mask:
        """Mask (N,) of rows classified correctly before any attack."""
        right: Mask = self.pred == self.labels
        return right

    def robust(self, attacked: AttackVerdicts) -> Mask:
        """Mask (E, N) of rows classified correctly before and after an attack."""
        robust: Mask = self.right & (attacked.pred == self.labels)
        return robust


def source_rows(job: EvaluationJob, plan: EvaluationPlan) -> SourceRows:
    """Reads labels, keys and digests of the rows from the source again."""
    parts = [(item.split, *read) for item, read in zip(plan.ranges, _read(job, plan), strict=True)]
    return SourceRows(
        labels=np.concatenate([rows.labels for _, rows, _ in parts]),
        keys=tuple(key for _, rows, _ in parts for key in rows.keys),
        indices=np.concatenate([rows.indices for _, rows, _ in parts]),
        sha256=tuple(one for _, rows, _ in parts for one in rows.sha256),
        splits=tuple(split for split, rows, _ in parts for _ in range(len(rows))),
        counts=tuple(len(rows) for _, rows, _ in parts),
        lost=sum(lost for _, _, lost in parts),
    )


def clean_rows(job: EvaluationJob, plan: EvaluationPlan) -> Iterator[CleanRows]:
    """Yields the rows with their pixels, range by range."""
    return (rows for rows, _ in _read(job, plan))


def _read(job: EvaluationJob, plan: EvaluationPlan) -> Iterator[tuple[CleanRows, int]]:
    """The rows of each range, and the number of those that are lost, by one reader, which hashes a file once."""
    source = open_source(job.source, plan.classes, plan.commit)
    for part in plan.ranges:
        rows, rejects = source.read(part, plan.image, job.classes)
        yield rows, len(rejects)


def gather(job: EvaluationJob, plan: EvaluationPlan, rows: SourceRows, store: PartStore) -> tuple[ModelVerdicts, ...]:
    """Verdicts of every model, in the job's order. Raises RunError if a part is damaged."""
    return tuple(_Gathering(job, plan, rows, store, model).found() for model in range(len(job.models)))


@dataclass(frozen=True)
class _Gathering:
    job: EvaluationJob
    plan: EvaluationPlan
    rows: SourceRows
    store: PartStore
    model: int

    def found(self) -> ModelVerdicts:
        mine = [part for part in self.plan.parts if part.model == self.model]
        conditions = self._conditions([part for part in mine if part.kind in _CONDITIONS])
        clean = conditions.pop((CLEAN, 0))
        transfers: dict[tuple[int, int], list[EvaluationPart]] = {}
        for part in mine:
            if part.kind == "transfer":
                transfers.setdefault((part.source, part.attack), []).append(part)
        return ModelVerdicts(
            labels=self.rows.labels,
            pred=clean[0],
            margin=clean[1],
            attacks=tuple(
                self._attacked(number, [p for p in mine if p.kind == "attack" and p.attack == number])
                for number in range(len(self.job.attacks))
            ),
            conditions={condition: pred for condition, (pred, _) in conditions.items()},
            shards={part.dataset: self._shards(part) for part in mine if part.kind == "shards"},
            transfer={made: self._transfer(parts) for made, parts in transfers.items()},
        )

    def _stored(self, parts: list[EvaluationPart], columns: list[str]) -> list[Stored]:
        """Stored parts of all ranges with rows; each has one line per row of its range for every level."""
        found = []
        for part in sorted(parts, key=lambda part: part.range):
            count = self.rows.counts[part.range]
            stored = self.store.read(part.key, columns if count else [])
            if count and (len(stored.table) % count or not len(stored.table)):
                raise RunError(
                    f"{self.store.folder.name}: the source gives {count} rows where it gave others when part "
                    f"{part.key[:12]} was made; start again with another output.path"
                )
            found.append(stored)
        return found

    def _conditions(self, parts: list[EvaluationPart]) -> dict[tuple[str, int], tuple[Classes, Floats]]:
        columns = ["condition", "level", "pred", "margin"]
        tables = [stored.table for stored in self._stored(parts, columns) if len(stored.table)]
        whole = pa.concat_tables(tables)
        names, levels = np.asarray(whole["condition"].to_pylist(), object), whole["level"].to_numpy()
        pred, margin = whole["pred"].to_numpy(), whole["margin"].to_numpy()
        found = {}
        for name, level in dict.fromkeys(zip(names.tolist(), levels.tolist(), strict=True)):
            here = (names == name) & (levels == level)
            found[name, int(level)] = pred[here], margin[here]
        return found

    def _attacked(self, number: int, parts: list[EvaluationPart]) -> AttackVerdicts:
        attack = evaluated(self.job.attacks[number], self.job.classes)
        names = ["pred", "margin", "confidence", "float_pred", "gradients", "queries", "flags"]
        stored = [one for one in self._stored(parts, names) if len(one.table)]
        variants = attack.variants

        def column(name: str) -> NDArray[np.generic]:
            values = [one.table[name].to_numpy().reshape(variants, -1) for one in stored]
            return np.concatenate(values, axis=1)

        eps = budgets(attack)
        return AttackVerdicts(
            label=self.job.labels[number],
            attack=attack,
            norm=attack.norm,
            threat=eps.index(float(self.job.threat_of(self.job.attacks[number]).eps)),
            pred=column("pred").astype(np.int64),
            margin=column("margin").astype(np.float32),
            confidence=column("confidence").astype(np.float32),
            float_pred=column("float_pred").astype(np.int64),
            gradients=column("gradients").astype(np.int32),
            queries=column("queries").astype(np.int32),
            flags=column("flags").astype(object),
            seconds=sum(one.seconds for one in stored),
        )

    def _transfer(self, parts: list[EvaluationPart]) -> Classes:
        stored = self._stored(parts, ["pred"])
        pred: Classes = np.concatenate([one.table["pred"].to_numpy() for one in stored if len(one.table)])
        return pred

    def _shards(self, part: EvaluationPart) -> tuple[int, int]:
        table = self.store.read(part.key).table
        if not len(table):
            return 0, 0
        return int((table["pred"].to_numpy() == table["label"].to_numpy()).sum()), len(table)
