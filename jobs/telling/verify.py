"""What an audit found."""

from __future__ import annotations

from hardset.jobs.terminal.console import count, say
from hardset.schemas.records.results import Verified

FAULTS_SHOWN = 20
_SIGNATURES = {
    "none": "Not signed: a forger who rewrites rows and all records alike is not found by digests; --all and --against "
    "compare rows with model, recipes and source.",
    "unchecked": "Signed: --public-key FILE says by whom.",
    "valid": "Signed by the holder of the key: no record and no file was changed since.",
}


def tell(findings: Verified) -> None:
    """Says what an audit found."""
    for fault in findings.faults[:FAULTS_SHOWN]:
        say(f"FAULT {fault}")
    if len(findings.faults) > FAULTS_SHOWN:
        say(f"... and {count(len(findings.faults) - FAULTS_SHOWN, 'more fault')} (all of them with --json)")
    for note in findings.notes:
        say(f"Note: {note}")
    looked = f"{count(findings.rows, 'row')} in {count(findings.files, 'file')}, {findings.rejudged:,} judged again"
    looked += f", {findings.remade:,} made again" if findings.remade else ""
    if findings.signature != "invalid":
        say(_SIGNATURES[findings.signature])
    say(f"{count(len(findings.faults), 'fault')} in {looked}" if findings.faults else f"Verified: {looked}, no fault")
