"""What one does next with what a command has made: its report, written and named, and how to look and load."""

from __future__ import annotations

from hardset.jobs.api.reports import NEWEST, write_report
from hardset.jobs.terminal.console import console
from hardset.jobs.terminal.voice import Voice
from hardset.pipeline.audit.trust import NO_TRUST, Trust
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError, one_line


def report_of(out: str, voice: Voice, trust: Trust = NO_TRUST, *, anew: bool = True) -> str | None:
    """Writes the report of what `out` holds and returns where it lies; None, with a warning, where it cannot be.

    A report that fails takes nothing along: what it would show is committed. `anew`: also where one is there.
    """
    try:
        folder = Folder(out)
        if not anew and folder.exists(NEWEST):
            return f"{folder.name.rstrip('/')}/{NEWEST}"
        with console.status("writing the report"):
            return write_report(out, trust=trust)
    except UserError as error:
        why = str(error)
    except Exception as error:  # rows may be looked up in the user's own source
        why = f"{type(error).__name__}: {one_line(error, 200)}"
    voice.warn(f"the report was not written: {why}; `hardset report {Folder(out).name}` writes it")
    return None


def tell_next(out: str, report: str | None, voice: Voice) -> None:
    """Where the report of a dataset lies, and how to look into it and load it."""
    name = Folder(out).name
    lines = [] if report is None else [f"Report: {report}"]
    lines += [f"Look:   hardset show {name}", f'Load:   hardset.open_dataset("{name}")']
    voice.say("\n".join(lines), event="next", report=report)
