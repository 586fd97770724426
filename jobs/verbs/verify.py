"""`hardset verify`: audits a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import Exit, give
from hardset.jobs.terminal.options import AsJson, MadeBy, OutputFolder, RunId, TrustCode


def verify(
    out: OutputFolder,
    sample: Annotated[int, typer.Option(min=0, help="Rows to judge again; 0 needs no model.")] = 1000,
    remake: Annotated[
        int, typer.Option("--replay", min=0, metavar="N", help="Rows to make again and compare, spread over all.")
    ] = 0,
    every: Annotated[bool, typer.Option("--all", help="Judge and make every row again.")] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Decode every source row at SOURCE again and compare source_sha256."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", metavar="FILE", help="PEM of the key that the run is to be signed with."),
    ] = None,
    made_by: MadeBy = None,
    trust_code: TrustCode = False,
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Check a run in OUT, by default the newest: records, digests, page checksums, schema, images, budgets, verdicts.

    Reads the dataset, and for rows judged again the source and the weights that --job names; what the records of OUT
    name is loaded only where it is hardset's own, or with --trust-code. Writes nothing. Returns 0 when nothing is wrong
    and 1 with every fault named.
    """
    from hardset.jobs.api.audit import verify as audit
    from hardset.jobs.telling.verify import tell

    findings = audit(
        out,
        sample=None if every else sample,
        replay=None if every else remake,
        against=against,
        job=made_by,
        trust_code=trust_code,
        run=run,
        public_key=public_key,
    )
    tell(findings)
    give(findings, as_json=as_json)
    raise typer.Exit(Exit.FAILED if findings.faults else Exit.DONE)
