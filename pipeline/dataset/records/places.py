"""Places of the files that shards leave in a dataset folder, and what their names say."""

from __future__ import annotations

import re

from hardset.pipeline.storage.folder import Folder

DATA = "data/"
QUARANTINE = "_hardset/quarantine/"
"""Beside the records, in a folder that readers of Parquet, VACUUM and Spark pass over for its underscore."""
EARLIER_QUARANTINE = "quarantine/"
"""Place of quarantine files that earlier versions wrote, as Parquet; published files never move."""
ALL = (DATA, QUARANTINE, EARLIER_QUARANTINE)

_OWN = re.compile(
    r"data/[0-9a-f]{8}/[\w.]+-\d{5,}-[0-9a-f]{12}\.parquet"
    r"|_hardset/quarantine/[0-9a-f]{8}-\d{5,}-[0-9a-f]{12}\.jsonl"
    r"|quarantine/[0-9a-f]{8}-\d{5,}-[0-9a-f]{12}\.parquet"
)
_MAKER = re.compile(r"(?:data|_hardset/quarantine|quarantine)/([0-9a-f]{8})")


def is_own(path: str) -> bool:
    """Whether the name of a file is one that a run gives."""
    return _OWN.fullmatch(path) is not None


def maker(path: str) -> str | None:
    """First eight digits of the id of the run that made a file in one of these places; None where it tells of none."""
    found = _MAKER.match(path)
    return None if found is None else found[1]


def files_of(run_id: str) -> tuple[str, ...]:
    """Starts of the paths of all files that a run makes."""
    run8 = run_id[:8]
    return (f"{DATA}{run8}/", f"{QUARANTINE}{run8}-", f"{EARLIER_QUARANTINE}{run8}-")


def present_files(folder: Folder) -> dict[str, int]:
    """Sizes in bytes, by path, of all files where shards leave theirs."""
    return {path: size for place in ALL for path, size in folder.sizes(place).items()}
