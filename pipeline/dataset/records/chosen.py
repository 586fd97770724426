"""Which finished run of a dataset folder is meant."""

from __future__ import annotations

from hardset.pipeline.dataset.records.ledger import latest_manifest, manifests
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.dates import is_date
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest


def chosen_manifest(folder: Folder, run: str | None) -> Manifest:
    """The manifest of the finished run whose id starts with `run`; of the newest that stands for the date `run`, or of
    all where `run` is None.

    Raises JobError where there is no such run, or more than one.
    """
    if run is None:
        return newest_manifest(folder)
    every = manifests(folder)
    if is_date(run):
        found = [manifest for manifest in every if manifest.logical_date == run][-1:]
    else:
        found = [manifest for manifest in every if manifest.run_id.startswith(run)] if run else []
    if len(found) != 1:
        names = (f"{one.run_id[:8]}{f' of {one.logical_date}' if one.logical_date else ''}" for one in every)
        what = f"{len(found)} finished runs start with it" if found else "no finished run has that id or date"
        raise JobError(f"--run: {run!r}: {what} in {folder.name}; there are {', '.join(names) or 'none'}")
    return found[0]


def newest_manifest(folder: Folder) -> Manifest:
    """The manifest of the newest run. Raises JobError where the folder holds none."""
    manifest = latest_manifest(folder)
    if manifest is None:
        raise JobError(f"{folder.name}: no finished run here; `hardset generate JOB` makes one")
    return manifest
