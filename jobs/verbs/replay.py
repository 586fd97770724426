"""`hardset replay`: makes one row again and compares."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from hardset.jobs.terminal.console import AsJson, Exit, MadeBy, OutputFolder, RunId, TrustCode, count, give, say
from hardset.pipeline.audit.replay import DIFFERS, Difference, Replayed
from hardset.pipeline.audit.replay import replay as make_again
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import load_job


def replay(
    out: OutputFolder,
    row_id: Annotated[str, typer.Argument(metavar="ROW_ID", help="Value of the row_id column.", show_default=False)],
    against: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Where the source lies now. Unset: where the job says.")
    ] = None,
    made_by: MadeBy = None,
    trust_code: TrustCode = False,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Make row ROW_ID of OUT again from its provenance, and compare it bit for bit.

    Reads the dataset, and the source and the weights that --job names; what the records of OUT name is loaded only
    where it is hardset's own, or with --trust-code. Writes nothing. Returns 0 when the pixels are the same, or nearly
    so and another device or other libraries made them, else 1.
    """
    trust = Trust(None if made_by is None else load_job(made_by), trust_code, against)
    done = make_again(Folder(out), row_id, run, trust=trust)
    if done.where is None:
        say(f"{row_id}: the same, bit for bit ({done.op}, shard {done.shard})")
    else:
        _tell(done, done.where)
    if done.columns_differing:
        say(f"Columns that differ: {', '.join(done.columns_differing)}")
    give(asdict(done), as_json=as_json)
    raise typer.Exit(Exit.FAILED if done.result == DIFFERS else Exit.DONE)


def _tell(done: Replayed, place: Difference) -> None:
    what = "differs" if done.result == DIFFERS else "the same within the tolerance for what was made elsewhere: differs"
    values = count(done.differing_values, "value")
    say(f"{done.row_id}: {what} in {values}, by {count(done.largest_difference, 'level')} at most")
    top, left, bottom, right = place.box
    first = (
        f"row {place.row}, column {place.column}, channel {place.channel}: {place.stored} stored, {place.again} again"
    )
    say(f"First at {first}; all in rows {top} to {bottom - 1}, columns {left} to {right - 1}")
    if done.elsewhere:
        say(f"It was made with {', '.join(done.elsewhere)}")
