"""Class names of a plan, held against those of the run before: a class that moved would change what its labels mean."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.planning.changes import Earlier, comparable, policy
from hardset.pipeline.sources import labels
from hardset.pipeline.sources.base import SourceReader
from hardset.pipeline.sources.classes import shown
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Manifest, Plan


def planned_classes(job: Job, source: SourceReader, earlier: Earlier | None) -> tuple[str, ...]:
    """Class names of a run, in label order: the source's, or the numbers of the model's classes.

    Where the job keeps files that vanished, a class whose files are all gone keeps its number. Raises JobError where
    there are no classes, or others than the model has.
    """
    names = source.class_names()
    if names is None:
        if job.model is None:
            raise JobError(
                f"source: {source.name} does not name its classes; list them in source.classes, write "
                "source.classes: from_source, or add a model section, whose classes count"
            )
        return tuple(str(number) for number in range(job.model.classes))
    names = _kept(job, names, earlier)
    if job.model is not None and len(names) != job.model.classes:
        raise JobError(
            f"model.classes: got {job.model.classes}, but {source.name} has {len(names)} classes ({shown(names)}); "
            f"they must be the same{_before(names, earlier.manifest if earlier else None)}"
        )
    return names


def check_classes(job: Job, plan: Plan, earlier: Manifest | None, *, accept: bool) -> None:
    """Raises JobError, which shows both, where the class names differ from those of the newest run of the job.

    `accept`: whether the user accepts that. What the job keeps of files that are gone cannot be carried over even then.
    """
    if earlier is None or _same(plan.classes, earlier.classes):
        return
    gone = [kind for kind in ("changed", "vanished") if policy(job.source, kind) == "keep" and _counted(plan, kind)]
    if gone:
        raise JobError(
            f"source.{gone[0]}: keep is not possible{_before(plan.classes, earlier)}, and the rows of a dataset share "
            f"one list of classes; list the earlier classes first in source.classes and the folders or labels as they "
            f"were, or give the rows up with --set source.{gone[0]}={'remake' if gone[0] == 'changed' else 'drop'}"
        )
    if not accept:
        raise JobError(
            f"source.classes: labels would change their meaning{_before(plan.classes, earlier)}; restore the classes "
            "(an empty class folder, or a name in source.classes, keeps a number), or go on with --accept-classes, "
            "which makes all rows anew"
        )


def class_warnings(job: Job, source: SourceReader, classes: Sequence[str], earlier: Earlier | None) -> tuple[str, ...]:
    """Warnings that classes differ from the newest run's, or that one keeps its number for kept rows alone."""
    if earlier is not None and not _same(classes, earlier.manifest.classes):
        return (f"source.classes: differ{_before(classes, earlier.manifest)}",)
    there = {labels.comparable(name) for name in source.class_names() or classes}
    gone = [name for name in classes if labels.comparable(name) not in there]
    if not gone:
        return ()
    return (f"source.vanished: the source has no class {shown(gone)} any more; its rows and its number are kept",)


def _kept(job: Job, names: tuple[str, ...], earlier: Earlier | None) -> tuple[str, ...]:
    """The names of the earlier run where all that differs is that classes vanished, and the job keeps their rows."""
    same = comparable(job, earlier)
    if same is None or policy(job.source, "vanished") != "keep":
        return names
    before, now = same.manifest.classes, set(map(labels.comparable, names))
    left = [name for name in before if labels.comparable(name) in now]
    return before if _same(left, names) else names


def _before(now: Sequence[str], earlier: Manifest | None) -> str:
    """The part of a sentence that shows both lists; empty where they are the same or there is no earlier one."""
    if earlier is None or _same(now, earlier.classes):
        return ""
    return f": run {earlier.run_id} had the classes {_listed(earlier.classes)}, and now they are {_listed(now)}"


def _listed(names: Sequence[str]) -> str:
    return f"[{shown(names)}]"


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    return [*map(labels.comparable, one)] == [*map(labels.comparable, other)]


def _counted(plan: Plan, kind: str) -> bool:
    return plan.changes is not None and any(number for name, number in plan.changes.counts.items() if name == kind)
