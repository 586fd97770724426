"""`hardset replay`: makes one row again and compares."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import Exit, give
from hardset.jobs.terminal.options import AsJson, MadeBy, OutputFolder, RowId, RunId, TrustCode


def replay(
    out: OutputFolder,
    row_id: RowId,
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
    from dataclasses import asdict

    from hardset.jobs.api.audit import replay as make_again
    from hardset.jobs.telling.replay import tell
    from hardset.pipeline.audit.replay import DIFFERS

    done = make_again(out, row_id, run=run, job=made_by, trust_code=trust_code, against=against)
    tell(done)
    give(asdict(done), as_json=as_json)
    raise typer.Exit(Exit.FAILED if done.result == DIFFERS else Exit.DONE)
