"""`hardset verify`: audits a dataset."""

from __future__ import annotations

from typing import Annotated

import typer

from hardset.jobs.terminal.console import AsJson, Exit, MadeBy, OutputFolder, RunId, TrustCode, count, give, say
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import Findings
from hardset.pipeline.audit.verify import verify as audit
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import load_job

FAULTS_SHOWN = 20


def verify(
    out: OutputFolder,
    sample: Annotated[int, typer.Option(min=0, help="Adversarial rows to judge again; 0 needs no model.")] = 1000,
    every: Annotated[bool, typer.Option("--all", help="Judge every adversarial row again.")] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Decode every source row at SOURCE again and compare source_sha256."),
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
    trust = Trust(None if made_by is None else load_job(made_by), trust_code, against)
    findings = audit(Folder(out), sample=None if every else sample, trust=trust, run=run)
    report(findings)
    give(
        {"status": "failed" if findings.faults else "verified", "files": findings.files, "rows": findings.rows}
        | {"rejudged": findings.rejudged, "faults": findings.faults, "notes": findings.notes},
        as_json=as_json,
    )
    raise typer.Exit(Exit.FAILED if findings.faults else Exit.DONE)


def report(findings: Findings) -> None:
    """Says what an audit found."""
    for fault in findings.faults[:FAULTS_SHOWN]:
        say(f"FAULT {fault}")
    if len(findings.faults) > FAULTS_SHOWN:
        say(f"... and {count(len(findings.faults) - FAULTS_SHOWN, 'more fault')} (all of them with --json)")
    for note in findings.notes:
        say(f"Note: {note}")
    looked = f"{count(findings.rows, 'row')} in {count(findings.files, 'file')}, {findings.rejudged:,} judged again"
    say(f"{count(len(findings.faults), 'fault')} in {looked}" if findings.faults else f"Verified: {looked}, no fault")
