"""Whose word counts when rows are judged or made again: the operator's, never that of the dataset under audit.

The records of a dataset name code (a model factory, an objective) and places (weights, a source). Whoever wrote the
dataset wrote the records, so that loading what they name would run a stranger's code with the auditor's rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardset.pipeline.audit.recorded_job import recorded_job
from hardset.pipeline.planning.keys import not_reading
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.digests import canonical_json
from hardset.schemas.errors import JobError
from hardset.schemas.extensions import is_import_path
from hardset.schemas.job.job import Job
from hardset.schemas.job.network import OWN_FACTORIES, PROGRAMS
from hardset.schemas.job.recipes import UNMEASURED, Recipe
from hardset.schemas.job.sources import Source
from hardset.schemas.records.run import Plan

_PLACES = ("path", "weights")
_LOADED = ("source", "model", "transfer_to", "recipes")
"""Sections of a job whose code and files are loaded when its rows are made."""
_SHOWN = 5


class UntrustedError(JobError):
    """The records name code or places that the operator has not vouched for."""


@dataclass(frozen=True)
class Trust:
    """What an operator brings to the audit of a dataset."""

    job: Job | None = None
    """The job that made the dataset, from a file of the operator's own; its code and places are used."""
    records: bool = False
    """Whether code and places that only the records name may be used."""
    source: str | None = None
    """Where the source lies now."""

    def job_of(self, plan: Plan, folder: Folder) -> Job:
        """The job that the rows of a plan are judged or made again by.

        `folder`: the dataset, whose own files it may read.

        Raises UntrustedError where it would have to be the records' own and names more than hardset's own networks;
        JobError where the operator's job would not have made these rows.
        """
        job = recorded_job(plan)
        if self.job is not None:
            from hardset.pipeline.recipes.table import settled_job  # noqa: PLC0415 - 2 s of torch that readers can spare

            job = _vouched(job, settled_job(self.job), folder)
        elif not self.records:
            self._refuse(plan, set(_LOADED), folder)
        return job if self.source is None else job.model_copy(update={"source": moved(job.source, self.source)})

    def source_of(self, plan: Plan, folder: Folder) -> Source:
        """The source section that the rows of a plan are read again by. Raises as `job_of` does."""
        if self.job is not None or self.records:
            return self.job_of(plan, folder).source
        self._refuse(plan, {"source"}, folder)
        spec = recorded_job(plan).source
        return spec if self.source is None else moved(spec, self.source)

    def _refuse(self, plan: Plan, sections: set[str], folder: Folder) -> None:
        document = recorded_job(plan).model_dump(mode="json", include=sections)
        if self.source is not None:
            document["source"].pop("path", None)
        named = list(dict.fromkeys(_named(document, folder)))
        if named:
            raise UntrustedError(
                f"the records of run {plan.run_id[:8]} name {_listed(named)}; a dataset's word loads no code and opens "
                "no file: give the job that made it with --job FILE, or vouch for its records with --trust-code"
            )


NO_TRUST = Trust()
"""The dataset alone."""


def moved(spec: Source, place: str) -> Source:
    """The same source at another place. Raises JobError for a bundled one that `place` does not name."""
    if getattr(spec, "path", None) is not None:
        return spec.model_copy(update={"path": place})
    if place != spec.format:
        raise JobError(f"--against: the rows come from {spec.format}, which are bundled; wants --against {spec.format}")
    return spec


def _named(node: Any, folder: Folder, key: str = "") -> Iterator[str]:
    """Import paths and places in a job beyond hardset's own networks and the files of the dataset itself."""
    if isinstance(node, dict):
        if node.get("format") in PROGRAMS:
            yield public_name(str(node.get("weights")))
        for name, value in node.items():
            yield from () if name == "arguments" and _is_own(node) else _named(value, folder, name)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value, folder, key)
    elif isinstance(node, str):
        is_place = key in _PLACES
        is_code = is_import_path(node) and not node.startswith(OWN_FACTORIES)
        if (is_place and not _lies_in(folder, node)) or (is_code and not is_place):
            yield public_name(node)


def _is_own(network: dict[str, Any]) -> bool:
    """Whether a network is hardset's own, which takes numbers and no code for arguments."""
    return str(network.get("factory", "")).startswith(OWN_FACTORIES)


def _lies_in(folder: Folder, place: str) -> bool:
    """Whether a place is a file of the dataset, as the weights of a round of hardening are; `..` and links count."""
    home = folder.place
    if "://" in home:
        return place.startswith(f"{home}/") and ".." not in place.split("/")
    return "://" not in place and Path(place).resolve().is_relative_to(home)


def _vouched(recorded: Job, brought: Job, folder: Folder) -> Job:
    """The recorded job with code and places of the operator's. Raises JobError where that would make other rows.

    Recipes are matched one by one: earlier nights, whose shards a run took over, may have had others beside them.
    """
    _compare(_determining(recorded), _determining(brought))
    offered = {_fixed(recipe): recipe for recipe in brought.recipes}
    recipes = []
    for position, recipe in enumerate(recorded.recipes):
        found = offered.get(_fixed(recipe))
        if found is None and list(_named(recipe.model_dump(mode="json"), folder)):
            raise JobError(f"--job: has no recipe like recipes.{position} of the records, which names code or a file")
        recipes.append(found or recipe)
    changes: dict[str, Any] = {"recipes": tuple(recipes), "source": brought.source, "transfer_to": brought.transfer_to}
    model = recorded.model
    if model is None or model.weights is None or not _lies_in(folder, model.weights):
        changes["model"] = brought.model
    elif brought.model is not None:  # the weights of a round of hardening lie in the dataset
        changes["model"] = brought.model.model_copy(update={"weights": model.weights})
    return recorded.model_copy(update=changes)


def _fixed(recipe: Recipe) -> str:
    """What of a recipe fixes its rows: all but its places, and the gates of a generator that is measured."""
    whole = recipe.model_dump(mode="json")
    if whole.get("admit") != UNMEASURED:  # which every row's flags repeat
        whole.pop("admit", None)
    return canonical_json(dict(_leaves(whole)))


def _compare(recorded: Mapping[str, Any], brought: Mapping[str, Any]) -> None:
    """Raises JobError where a job would make other rows than the recorded one."""
    then, now = dict(_leaves(recorded)), dict(_leaves(brought))
    unlike = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if unlike:
        told = "; ".join(f"{key} is {now.get(key)!r}, and {then.get(key)!r} in the records" for key in unlike[:_SHOWN])
        more = f"; and {len(unlike) - _SHOWN} more" if len(unlike) > _SHOWN else ""
        raise JobError(f"--job: is not the job that made this dataset: {told}{more}")


def _determining(job: Job) -> dict[str, Any]:
    """What of a job fixes its rows beside the recipes; places aside, whose digests are compared when they are read."""
    whole = job.model_dump(mode="json", include={"seed", "source", "model", "transfer_to"})
    whole["source"] = {key: value for key, value in whole["source"].items() if key not in not_reading(job.source)}
    whole["output"] = job.output.model_dump(mode="json", include={"png_level", "keep"})
    whole["run"] = job.run.model_dump(mode="json", include={"batch", "precision", "compile"})
    return whole


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            if name not in _PLACES:
                yield from _leaves(value, f"{key}.{name}" if key else name)
    elif isinstance(node, list) and node:
        for position, value in enumerate(node):
            yield from _leaves(value, f"{key}.{position}")
    else:
        yield key, node


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
