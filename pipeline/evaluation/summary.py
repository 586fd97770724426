"""Turns verdicts into an evaluation's record, its table of rows and its summary lines."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.evaluation import figures
from hardset.pipeline.evaluation.doubt_table import doubtful, warnings_of
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPart, EvaluationPlan
from hardset.pipeline.evaluation.gathered import ModelVerdicts, SourceRows, clean_rows
from hardset.pipeline.evaluation.likeness import Similarity
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.models.loading import model_id
from hardset.pipeline.planning.plan import public_job
from hardset.pipeline.statistics.shares import share, share_of
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.records.evaluation import Evaluation, Likeness, ModelFigures, Rows, ShardFigures, TransferCell


def make_record(
    job: EvaluationJob,
    plan: EvaluationPlan,
    rows: SourceRows,
    found: tuple[ModelVerdicts, ...],
    store: PartStore,
    *,
    started: str,
    finished: str,
) -> Evaluation:
    """Record of the evaluation, including warnings. Reads the attacked pixels again for their similarity."""
    likeness = _likeness(job, plan, found, rows, store)
    record = Evaluation(
        evaluation_id=plan.evaluation_id,
        name=job.name,
        job=public_job(job),
        classes=plan.classes,
        image=plan.image,
        commit=plan.commit,
        rows=Rows(count=len(rows), lost=rows.lost, splits=dict(Counter(rows.splits)), sha256=rows.digest),
        models=tuple(_model(job, plan, one, position, likeness[position]) for position, one in enumerate(found)),
        transfer=tuple(_transfer(job, found)),
        parts=tuple(part.key for part in plan.parts),
        started=started,
        finished=finished,
        environment=versions(),
    )
    return record.model_copy(update={"warnings": warnings_of(record)})


def _model(
    job: EvaluationJob, plan: EvaluationPlan, found: ModelVerdicts, position: int, likeness: tuple[Likeness, ...]
) -> ModelFigures:
    spec, headline = job.models[position], [one for one in found.attacks if one.norm == job.threats[0].norm]
    after = figures.attacked_pred(found, headline)
    return ModelFigures(
        name=spec.name,
        model_id=model_id(spec.model_dump(), plan.models[position]),
        sha256=plan.models[position],
        hardened_from=spec.hardened_from,
        last_of=spec.last_of,
        clean=share_of(found.right),
        threats=tuple(figures.threat_figures(found, threat) for threat in job.threats),
        attacks=tuple(figures.attack_figures(found, attacked) for attacked in found.attacks),
        classes=figures.class_figures(found.labels, found.pred, after, job.classes),
        confusion_clean=figures.confusion(found.labels, found.pred, job.classes),
        confusion_attacked=figures.confusion(found.labels, after, job.classes),
        conditions=figures.condition_figures(found),
        margins=figures.margin_figures(found, headline),
        agreement=figures.agreement(found),
        likeness=likeness,
        shards=tuple(
            ShardFigures(dataset=public_name(dataset), right=share(*counts)) for dataset, counts in found.shards.items()
        ),
    )


def _transfer(job: EvaluationJob, found: tuple[ModelVerdicts, ...]) -> Iterator[TransferCell]:
    for target, model in zip(job.models, found, strict=True):
        for (source, attack), pred in model.transfer.items():
            right = int((model.right & (pred == model.labels)).sum())
            yield TransferCell(
                source=job.models[source].name,
                target=target.name,
                attack=job.labels[attack],
                right=share(right, len(pred)),
            )


def _likeness(
    job: EvaluationJob, plan: EvaluationPlan, found: tuple[ModelVerdicts, ...], rows: SourceRows, store: PartStore
) -> list[tuple[Likeness, ...]]:
    """Similarity of perturbations by model, for every attack. Rows misclassified before the attack are left out."""
    parts: dict[tuple[int, int, int], EvaluationPart] = {
        (part.model, part.attack, part.range): part for part in plan.parts if part.kind == "attack"
    }
    values = plan.image.height * plan.image.width * plan.image.channels
    sums = {
        (model, attack): Similarity(job.classes, values)
        for model in range(len(found))
        for attack in range(len(job.attacks))
    }
    first = 0
    for number, clean in enumerate(clean_rows(job, plan)):
        here = slice(first, first + len(clean))
        first += len(clean)
        for (model, attack), similarity in sums.items():
            right = found[model].right[here]
            pixels = store.pixels(parts[model, attack, number].key, clean.pixels.shape)
            similarity.add(clean.pixels[right], pixels[right], clean.labels[right])
    return [
        tuple(sums[model, attack].figures(job.labels[attack]) for attack in range(len(job.attacks)))
        for model in range(len(found))
    ]


ROWS_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("attack", pa.string()),
        ("norm", pa.string()),
        ("eps", pa.float64()),
        ("source_split", pa.string()),
        ("source_index", pa.int64()),
        ("source_key", pa.string()),
        ("source_sha256", pa.string()),
        ("label", pa.int64()),
        ("clean_pred", pa.int64()),
        ("clean_margin", pa.float32()),
        ("float_pred", pa.int64()),
        ("pred", pa.int64()),
        ("margin", pa.float32()),
        ("confidence", pa.float32()),
        ("robust", pa.bool_()),
        ("gradients", pa.int32()),
        ("queries", pa.int32()),
        ("flags", pa.string()),
    ]
)
"""Schema of evaluation.parquet: one line per model, attack, budget and source row. `pred` -1: not all logits finite."""


def rows_file(job: EvaluationJob, rows: SourceRows, found: tuple[ModelVerdicts, ...]) -> bytes:
    """Bytes of evaluation.parquet; the same figures give the same bytes."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, ROWS_SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        for table in _tables(job, rows, found):
            writer.write_table(table)
    return sink.getvalue()


def _tables(job: EvaluationJob, rows: SourceRows, found: tuple[ModelVerdicts, ...]) -> Iterator[pa.Table]:
    count = len(rows)
    common: Mapping[str, object] = {
        "source_split": rows.splits,
        "source_index": rows.indices,
        "source_key": rows.keys,
        "source_sha256": rows.sha256,
        "label": rows.labels,
    }
    for spec, model in zip(job.models, found, strict=True):
        for attacked in model.attacks:
            robust = model.robust(attacked)
            eps = attacked.attack.eps if isinstance(attacked.attack.eps, tuple) else (attacked.attack.eps,)
            for level, budget in enumerate(eps):
                columns = {
                    **common,
                    "model": [spec.name] * count,
                    "attack": [attacked.label] * count,
                    "norm": [attacked.norm] * count,
                    "eps": np.full(count, float(budget)),  # type: ignore[arg-type]  # never a range here
                    "clean_pred": model.pred,
                    "clean_margin": model.margin,
                    "float_pred": attacked.float_pred[level],
                    "pred": attacked.pred[level],
                    "margin": attacked.margin[level],
                    "confidence": attacked.confidence[level],
                    "robust": robust[level],
                    "gradients": attacked.gradients[level],
                    "queries": attacked.queries[level],
                    "flags": attacked.flags[level],
                }
                yield pa.table([pa.array(columns[f.name], f.type) for f in ROWS_SCHEMA], schema=ROWS_SCHEMA)


def summary_line(record: Evaluation, model: ModelFigures) -> str:
    """One model as RobustBench lists it: clean and robust accuracy with intervals, threat, attacks, number of rows."""
    threat = model.threats[0]
    attacks = [one.label for one in model.attacks if one.attack["norm"] == threat.norm]
    clean, robust = (
        f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in (model.clean, threat.robust)
    )
    return (
        f"{model.name}: clean {clean}, robust {robust} at {threat.norm} {threat.eps}, worst of {', '.join(attacks)} "
        f"(n = {record.rows.count:,}){', doubtful, see the warnings' if doubtful(record, model) else ''}"
    )


def gate_figures(model: ModelFigures) -> dict[str, float]:
    """Figures of a model for gates: clean, robust, worst_class, and corruptions and shift if measured."""
    return {
        "clean": model.clean.value,
        "robust": model.robust.value,
        "worst_class": model.worst_class.attacked_recall,
        **figures.condition_means(model.conditions),
    }
