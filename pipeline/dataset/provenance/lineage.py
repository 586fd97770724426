"""OpenLineage events of a run, kept as JSON lines beside its manifest (specification 2-0-2).

START when the work begins; COMPLETE, FAIL or ABORT when it ends. Every start of a run has a file of its own, so that
one that lost the output to another cannot disturb the other's: openlineage.jsonl, then openlineage-2.jsonl and so on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.provenance.facets import NAMESPACE, facet, parent_facet, producer, source_code_facet
from hardset.pipeline.dataset.provenance.facets import input_datasets as inputs_of
from hardset.pipeline.dataset.provenance.facets import output_dataset as output_of
from hardset.pipeline.dataset.records.ledger import RUNS
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import canonical_json, sha256_hex
from hardset.schemas.errors import GoneError, HeldError, RunError, UserError
from hardset.schemas.records.run import Manifest, Plan

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
START_DIGEST = "hardsetStart"
"""Name of the digest of a file of events before its run has ended."""
Event = dict[str, Any]


class Lineage:
    """Records the events of a run while it is entered: START first, and at the end whatever it came to.

    A run that neither finished nor raised was stopped: ABORT. One that another took over says no more, and one whose
    output is gone writes no more. `send` is given every event; it must not raise.
    """

    def __init__(self, folder: Folder, plan: Plan, send: Callable[[Event], None] = lambda _: None) -> None:
        self._folder, self._plan, self._send = folder, plan, send
        self._home = f"{RUNS}/{plan.run_id}/"
        self._path, self._start, self._last = "", b"", Event()
        self._ended = False

    def __enter__(self) -> Self:
        found = event(self._plan, self._folder.name, "START", now())
        self._send(found)
        self._start = _line(found)
        number = len(self._folder.list(f"{self._home}openlineage")) + 1
        while not self._folder.create(path := self._home + _name(number), self._start):
            number += 1
        self._path = path
        return self

    def ending(self, manifest: Manifest) -> dict[str, dict[str, str]]:
        """Settles how the run ends: COMPLETE, or FAIL where shards failed, which `finish` records.

        Returns the digests that the file of this start will have then, by its path, and has until then.
        """
        self._last = end_event(self._plan, self._folder.name, manifest)
        whole = self._start + _line(self._last)
        return {self._path: {"sha256": sha256_hex(whole), START_DIGEST: sha256_hex(self._start)}}

    def finish(self) -> None:
        """Records the end that `ending` settled."""
        self._ended = True
        self._end(self._last)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._ended or isinstance(error, HeldError):
            return
        found = event(self._plan, self._folder.name, "FAIL" if kind else "ABORT", now())
        if kind is not None:
            message = str(error) if isinstance(error, UserError) else kind.__name__  # others may quote credentials
            found["run"]["facets"]["errorMessage"] = _error(message)
        if isinstance(error, GoneError):
            self._send(found)
            return
        with suppress(RunError):  # what broke the run is told already
            self._end(found)

    def _end(self, found: Event) -> None:
        self._send(found)
        self._folder.write(self._path, self._start + _line(found))


def event(plan: Plan, output: str, kind: str, at: str) -> Event:
    """An event without results. `output`: public name of the dataset folder; `at`: UTC, ISO 8601."""
    return {
        "producer": producer(),
        "schemaURL": SCHEMA,
        "eventType": kind,
        "eventTime": at,
        "run": {"runId": plan.run_id, "facets": _run_facets(plan)},
        "job": {
            "namespace": os.environ.get(NAMESPACE) or "hardset",
            "name": plan.job["name"],
            "facets": {
                "jobType": facet("jobType", processingType="BATCH", integration="HARDSET", jobType="JOB"),
                "documentation": facet(
                    "documentation",
                    description="Makes a hardened image training set: "
                    + ", ".join(recipe.get("name", recipe["kind"]) for recipe in plan.job["recipes"]),
                    contentType="text/plain",
                ),
                **source_code_facet(),
            },
        },
        "inputs": inputs_of(plan),
        "outputs": [output_of(plan, output)],
    }


def end_event(plan: Plan, output: str, manifest: Manifest) -> Event:
    """COMPLETE or FAIL, with what was read and written."""
    failures = manifest.failures
    found = event(plan, output, "FAIL" if failures else "COMPLETE", manifest.finished)
    if failures:
        message = f"{len(failures)} shards failed, such as {failures[0].index}: {failures[0].error}"
        found["run"]["facets"]["errorMessage"] = _error(message)
    found["inputs"] = inputs_of(plan, statistics=True)
    found["outputs"] = [output_of(plan, output, manifest)]
    return found


def _run_facets(plan: Plan) -> dict[str, Any]:
    settings = {"seed": plan.job.get("seed", 0)}
    settings |= {f"recipes.{position}": recipe for position, recipe in enumerate(plan.job["recipes"])}
    parameters = [{"key": key, "value": canonical_json(value)} for key, value in settings.items()]
    return {
        "processing_engine": facet(
            "processing_engine",
            name="Ray",
            version=versions().get("ray", "unknown"),
            openlineageAdapterVersion=version("hardset"),
        ),
        "executionParameters": facet("executionParameters", parameters=parameters),
        **parent_facet(os.environ),
        **_nominal_time(plan.logical_date),
    }


def _nominal_time(logical_date: str | None) -> dict[str, Any]:
    """The night that the run stands for, as its midnight in UTC."""
    if logical_date is None:
        return {}
    return {"nominalTime": facet("nominalTime", nominalStartTime=f"{logical_date}T00:00:00Z")}


def _name(number: int) -> str:
    return "openlineage.jsonl" if number == 1 else f"openlineage-{number}.jsonl"


def _line(found: Event) -> bytes:
    return f"{canonical_json(found)}\n".encode()


def _error(message: str) -> dict[str, Any]:
    return facet("errorMessage", message=message, programmingLanguage="PYTHON")
