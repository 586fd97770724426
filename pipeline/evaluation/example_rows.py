"""Example rows of an evaluation, before and after each attack, stored so that a report needs no source."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.evaluation.evaluation_plan import EvaluationPlan
from hardset.pipeline.evaluation.gathered import AttackVerdicts, ModelVerdicts, SourceRows, clean_rows
from hardset.pipeline.evaluation.parts import PartStore
from hardset.schemas.job.evaluation import EvaluationJob

FALLEN, STANDING = 6, 2
"""Numbers of examples per attack and model: rows that it breaks, of as many classes as possible, and robust rows."""


def chosen(found: ModelVerdicts, attacked: AttackVerdicts) -> NDArray[np.int64]:
    """Positions of the example rows: the first broken row of each class, then other broken rows, then robust ones."""
    broken = np.flatnonzero(found.right & ~found.robust(attacked)[attacked.threat])
    _, first = np.unique(found.labels[broken], return_index=True)
    few = np.concatenate([broken[np.sort(first)], np.delete(broken, first)])[:FALLEN]
    standing = np.flatnonzero(found.robust(attacked)[attacked.threat])[:STANDING]
    return np.concatenate([np.sort(few), standing])


def examples_file(
    job: EvaluationJob, plan: EvaluationPlan, rows: SourceRows, found: tuple[ModelVerdicts, ...], store: PartStore
) -> bytes:
    """Parquet file for `read_examples`. Reads the source and the attacked pixels again."""
    lines = list(_lines(job, plan, rows, found, store))
    schema = pa.schema([(name, pa.binary() if name in ("clean", "attacked") else kind) for name, kind in _FIELDS])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


_TEXTS = ("model", "attack", "eps", "source_key", "source_sha256")
_COUNTS = ("label", "clean_pred", "pred", "gradients", "queries")
_FIELDS = [
    *((name, pa.string()) for name in _TEXTS),
    *((name, pa.int64()) for name in _COUNTS),
    *((name, pa.float32()) for name in ("margin", "confidence")),
    *((name, pa.binary()) for name in ("clean", "attacked")),
]


def _lines(
    job: EvaluationJob, plan: EvaluationPlan, rows: SourceRows, found: tuple[ModelVerdicts, ...], store: PartStore
) -> Iterator[dict[str, object]]:
    parts = {(part.model, part.attack, part.range): part.key for part in plan.parts if part.kind == "attack"}
    wanted = {
        (model, number): chosen(one, attacked)
        for model, one in enumerate(found)
        for number, attacked in enumerate(one.attacks)
    }
    first = 0
    for number, clean in enumerate(clean_rows(job, plan)):
        for (model, attack), places in wanted.items():
            here = places[(places >= first) & (places < first + len(clean))]
            if len(here):
                pixels = store.pixels(parts[model, attack, number], clean.pixels.shape)[here - first]
                images = zip(encode_png(clean.pixels[here - first], 9), encode_png(pixels, 9), strict=True)
                for at, (before, after) in zip(here.tolist(), images, strict=True):
                    yield _line(job.models[model].name, rows, found[model], found[model].attacks[attack], at) | {
                        "clean": before,
                        "attacked": after,
                    }
        first += len(clean)


def _line(model: str, rows: SourceRows, found: ModelVerdicts, attacked: AttackVerdicts, at: int) -> dict[str, object]:
    level = attacked.threat
    return {
        "model": model,
        "attack": attacked.label,
        "eps": attacked.eps[level],
        "source_key": rows.keys[at],
        "source_sha256": rows.sha256[at],
        "label": int(found.labels[at]),
        "clean_pred": int(found.pred[at]),
        "pred": int(attacked.pred[level, at]),
        "margin": float(attacked.margin[level, at]),
        "confidence": float(attacked.confidence[level, at]),
        "gradients": int(attacked.gradients[: level + 1, at].sum()),
        "queries": int(attacked.queries[: level + 1, at].sum()),
    }
