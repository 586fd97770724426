"""Tables of evaluations for papers, which are computed with what an evaluation is made by."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.evaluation.papers import as_csv, as_latex, mean_line
from hardset.pipeline.evaluation.stored import read_evaluation
from hardset.pipeline.evaluation.summary import summary_line
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError


def write_tables(outs: Sequence[str], to: str) -> tuple[str, ...]:
    """Writes figures.csv and figures.tex of one evaluation, or of several that differ in seed or weights, to a folder.

    Returns a line for each model. Raises JobError where a folder holds no evaluation, or the evaluations measure
    different things.
    """
    records = []
    for out in outs:
        record = read_evaluation(Folder(out))
        if record is None:
            raise JobError(f"{public_name(out)}: holds no evaluation; name a folder that `hardset evaluate` wrote")
        records.append(record)
    table, folder = as_latex(records), Folder(to)
    folder.write("figures.csv", as_csv(records).encode())
    folder.write("figures.tex", table.encode())
    first = records[0]
    if len(records) == 1:
        return tuple(summary_line(first, model) for model in first.models)
    return tuple(mean_line(records, model.name) for model in first.models)
