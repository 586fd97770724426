"""`hardset explain`: where a row comes from."""

from __future__ import annotations

from hardset.jobs.terminal.console import give
from hardset.jobs.terminal.options import AsJson, OutputFolder, RowId


def explain(
    out: OutputFolder,
    row_id: RowId,
    as_json: AsJson = False,
) -> None:
    """Show where row ROW_ID of OUT comes from: run, shard, recipe, model, source, verdict, and the rows before it.

    Reads the dataset, and for rows made from the rows of another dataset that one; writes nothing. Returns 0, or 2
    where no finished run of OUT holds the row.
    """
    from hardset.jobs.telling.explain import tell
    from hardset.pipeline.audit.explain import explain as lineage_of
    from hardset.pipeline.storage.folder import Folder

    found = lineage_of(Folder(out), row_id)
    tell(found)
    give(found, as_json=as_json)
