"""Baseline of a loop's gates, and promotion of its weights once they pass."""

from __future__ import annotations

from pydantic import ValidationError

from hardset.pipeline.dataset.records.seals import parse_record
from hardset.pipeline.hardening.home import Home, loops
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError, UserError
from hardset.schemas.job.job import Job
from hardset.schemas.records.evaluation import Evaluation
from hardset.schemas.records.hardening import Hardening

KNOWN = ("robust", "clean")
"""Figures that gates may name."""


def promote(job: Job, home: Home, record: Hardening) -> str:
    """Copies the best weights to `harden.weights`, or models/<job name>.safetensors in the output; returns its URL."""
    data = home.folder.read(record.weights.path)
    wanted = job.harden.weights if job.harden else None
    if wanted is None:
        path = f"models/{job.name}.safetensors"
        home.folder.write(path, data)
        return home.url(path)
    folder, name = _place(wanted)
    folder.write(name, data)
    return wanted


def baseline(place: str) -> dict[str, float]:
    """Clean and robust accuracy of an earlier loop or evaluation.

    `place`: a dataset folder, whose newest loop is used, or the JSON file of either. Raises JobError if there is no
    such record.
    """
    if not place.endswith(".json"):
        found = loops(Folder(place))
        if not found:
            raise JobError(f"--against {public_name(place)}: holds no finished loop; name one, or a JSON record")
        return found[-1].after.shares()
    folder, name = _place(place)
    try:
        content = folder.read(name)
    except FileNotFoundError:
        raise JobError(f"--against {public_name(place)}: no such file; check the path") from None
    try:
        return parse_record(folder, name, content, Hardening).after.shares()
    except UserError:
        pass
    try:
        first = parse_record(folder, name, content, Evaluation).models[0]
    except (UserError, ValidationError, IndexError):
        raise JobError(f"--against {public_name(place)}: is no record of harden or evaluate; name one") from None
    return {"clean": first.clean.value, "robust": first.robust.value}


def _place(url: str) -> tuple[Folder, str]:
    """Folder of a file, and its name in that folder."""
    parent, slash, name = url.rpartition("/")
    return Folder(parent + "/" if slash else "."), name
