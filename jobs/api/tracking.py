"""Experiment trackers: what a folder holds is logged with its report, once for each run, evaluation and loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from hardset.jobs.api.reports import NEWEST, read_loops
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.evaluation.stored import read_evaluation
from hardset.pipeline.reporting.tracked import Tracked, of_evaluation, of_loop, of_run
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError, one_line

IDENTITY = "hardset.id"
"""Tag that the same run, evaluation or loop is found again by."""


def check_tracker(tracker: str) -> None:
    """Raises JobError for an unknown tracker, or one whose package is missing."""
    if tracker not in TRACKERS:
        raise JobError(f"--track: got {tracker!r}; wants one of {', '.join(TRACKERS)}")
    if find_spec(tracker) is None:
        raise JobError(f"{tracker}, which --track logs to, is not installed: pip install 'hardset[{tracker}]'")


def log(out: str, html: bytes, *, tracker: str, run: str | None = None) -> tuple[str, ...]:
    """Logs what a folder holds, and its report, to a tracker; what was logged before is brought up to date.

    `run`: how the id of the shown run starts; None: the newest. Returns a sentence for each. Raises JobError for an
    unknown tracker or a missing package, RunError where the tracker does not answer.
    """
    check_tracker(tracker)
    return TRACKERS[tracker](tracked(out, run), html)


def tracked(out: str, run: str | None = None) -> tuple[Tracked, ...]:
    """What a tracker is told of a folder: its run, its evaluation and its loops."""
    folder, found = Folder(out), list[Tracked]()
    if run is not None or latest_manifest(folder) is not None:
        found.append(of_run(chosen_manifest(folder, run)))
    record = read_evaluation(folder)
    if record is not None:
        found.append(of_evaluation(record))
    return (*found, *map(of_loop, read_loops(folder)))


def _mlflow(found: tuple[Tracked, ...], html: bytes) -> tuple[str, ...]:
    """Logs to MLflow, whose own variables (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...) say where."""
    import mlflow  # noqa: PLC0415 - the extra `mlflow`

    try:
        return tuple(_logged(mlflow, one, html) for one in found)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        where = mlflow.get_tracking_uri()
        why = one_line(error, 200)
        raise RunError(
            f"--track mlflow: {where} did not take the run ({why}); set MLFLOW_TRACKING_URI to a server that answers"
        ) from None


def _logged(mlflow: ModuleType, one: Tracked, html: bytes) -> str:
    known = mlflow.search_runs(filter_string=f"tags.`{IDENTITY}` = '{one.identity}'", output_format="list")
    run_id = known[0].info.run_id if known else None
    with mlflow.start_run(run_id=run_id, run_name=None if known else one.name), tempfile.TemporaryDirectory() as place:
        mlflow.set_tags({IDENTITY: one.identity, **{f"hardset.{name}": value for name, value in one.tags.items()}})
        mlflow.log_params(one.parameters)
        for step in sorted({figure.step for figure in one.figures}):
            mlflow.log_metrics({f.name: f.value for f in one.figures if f.step == step}, step=step)
        report = Path(place) / NEWEST
        report.write_bytes(html)
        mlflow.log_artifact(str(report))
        active = mlflow.active_run().info.run_id
    return f"MLflow: run {active} of {one.name}, {'brought up to date' if known else 'new'}"


TRACKERS: dict[str, Callable[[tuple[Tracked, ...], bytes], tuple[str, ...]]] = {"mlflow": _mlflow}
"""Trackers by the names that --track takes."""
