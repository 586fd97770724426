"""What an audit found."""

from __future__ import annotations

from hardset.jobs.terminal.console import count, say
from hardset.schemas.records.results import Verified

FAULTS_SHOWN = 20


def tell(findings: Verified) -> None:
    """Says what an audit found."""
    for fault in findings.faults[:FAULTS_SHOWN]:
        say(f"FAULT {fault}")
    if len(findings.faults) > FAULTS_SHOWN:
        say(f"... and {count(len(findings.faults) - FAULTS_SHOWN, 'more fault')} (all of them with --json)")
    for note in findings.notes:
        say(f"Note: {note}")
    looked = f"{count(findings.rows, 'row')} in {count(findings.files, 'file')}, {findings.rejudged:,} judged again"
    say(f"{count(len(findings.faults), 'fault')} in {looked}" if findings.faults else f"Verified: {looked}, no fault")
