"""The checks of `hardset doctor`, a line each."""

from __future__ import annotations

from hardset.jobs.terminal.console import count, say
from hardset.schemas.records.examination import Check, Examined

_MARKS = {"ok": "ok", "absent": "-", "warning": "warning", "failed": "FAILED"}


def line(check: Check) -> str:
    """One check with its remedy."""
    remedy = "" if check.remedy is None else f"; {check.remedy}"
    return f"{_MARKS[check.state]:<8} {check.name}: {check.told}{remedy}"


def tell(found: Examined) -> None:
    """What came of all checks."""
    states = [check.state for check in found.checks]
    failed, warned = states.count("failed"), states.count("warning")
    if failed:
        say(f"Not usable: {count(failed, 'check')} failed.")
    else:
        say("All that is needed is usable" + (f"; {count(warned, 'warning')}." if warned else "."))
