"""What nothing needs in a dataset folder."""

from __future__ import annotations

from collections import Counter

from hardset.jobs.terminal.console import count, say
from hardset.pipeline.audit.gc import Sweep

SHOWN = 20


def tell(found: Sweep, deleted: bool) -> None:
    """Names the files, and says whether they are gone."""
    for orphan in found.orphans[:SHOWN]:
        say(f"{orphan.path} ({_size(orphan.bytes)}): {orphan.why}")
    if len(found.orphans) > SHOWN:
        say(f"... and {count(len(found.orphans) - SHOWN, 'more file')} (all of them with --json)")
        for why, files in Counter(orphan.why for orphan in found.orphans).items():
            say(f"  {count(files, 'file')}: {why}")
    for orphan in found.foreign[:SHOWN]:
        say(f"{orphan.path} ({_size(orphan.bytes)}): {orphan.why}")
    if found.kept_records:
        say(f"Records of {count(len(found.kept_records), 'run')} stay: newer runs list files that they made")
    if not found.orphans:
        say("Nothing to remove")
        return
    what = f"{count(len(found.orphans), 'file')}, {_size(found.bytes)}"
    say(f"Removed {what}" if deleted else f"Would remove {what}; --delete does it")


def _size(number: int) -> str:
    """`512 B`, `1.4 MB`."""
    size, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{number} B" if unit == "B" else f"{size:.1f} {unit}"
