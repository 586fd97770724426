"""What an evaluation leaves in its folder, read again."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.records.seals import read_record
from hardset.pipeline.reporting.evaluation_content import AttackedExample
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.evaluation import Evaluation

RECORD, ROWS = "evaluation.json", "evaluation.parquet"
EXAMPLES = "_hardset/evaluation/examples.parquet"


def read_evaluation(folder: Folder) -> Evaluation | None:
    """Record of the evaluation in a folder; None if there is none. Raises RunError if it was changed."""
    return read_record(folder, RECORD, Evaluation)


def read_examples(folder: Folder) -> tuple[AttackedExample, ...]:
    """Examples of the evaluation in a folder; empty if there are none or they cannot be read."""
    try:
        lines = pq.read_table(io.BytesIO(folder.read(EXAMPLES))).to_pylist()
        return tuple(
            AttackedExample(**{**line, "clean": decode_png(line["clean"]), "attacked": decode_png(line["attacked"])})
            for line in lines
        )
    except (FileNotFoundError, pa.ArrowException, OSError, ValueError, TypeError):
        return ()
