"""Metrics of a run for Prometheus, through Ray's own.

The driver counts, as each shard ends: a shard that two attempts made counts once, a series belongs to a run and not to
a process, and what happens inside actors (seconds by stage) comes with their receipts. No shard, row or host is ever a
label, so a run has a few dozen series however large it is. Ray's agent on the driver's node exports them, with `ray_`
in front and `_total` behind counters, where `ray metrics launch-prometheus` and KubeRay's PodMonitor look for them; it
does so without a dashboard too. It takes new figures every 10 s (Ray 2.60), so a run of seconds leaves none.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hardset.pipeline.cluster.messages import Tally
from hardset.schemas.job.recipe_texts import name_and_norm
from hardset.schemas.records.run import Failure, Plan, Receipt
from hardset.schemas.rows.contract import ADVERSARIAL, AUGMENTED, GENERATED

RUN_TAGS = ("job_name", "run")
"""The job's name, and the first eight digits of the run id."""
_KINDS = {"attack": ADVERSARIAL, "augment": AUGMENTED, "sample": GENERATED}
_LOSSES = {"died": "deaths", "node_lost": "nodes_lost", "overdue": "abandoned"}
"""Causes of lost actors, and where the tally counts each."""
_SHARD_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """One metric, as it is declared to Ray."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    tags: tuple[str, ...] = ()
    """Names of its tags besides `RUN_TAGS`."""

    @property
    def exported(self) -> str:
        """The name that Prometheus sees; a histogram adds `_bucket`, `_sum` and `_count` to it."""
        return f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "hardset_rows", "counter", "Rows that ended: stored, quarantined or dropped", ("recipe", "kind", "outcome")
        ),
        Metric("hardset_attacked_rows", "counter", "Rows that success is counted over", ("recipe",)),
        Metric("hardset_fooled_rows", "counter", "Attacked rows that fool the model as stored", ("recipe",)),
        Metric("hardset_shards", "counter", "Shards that ended: committed or failed", ("recipe", "outcome")),
        Metric("hardset_retries", "counter", "Attempts at shards that came to nothing, whoever was to blame"),
        Metric(
            "hardset_lost_actors", "counter", "Actors that died, went with their node, or were overdue", ("reason",)
        ),
        Metric("hardset_stage_seconds", "counter", "Seconds that actors spent in a stage", ("stage",)),
        Metric("hardset_shard_seconds", "histogram", "Seconds from a shard's start to its receipt", ("recipe",)),
        Metric("hardset_planned_shards", "gauge", "Shards of the run"),
        Metric(
            "hardset_queued_shards", "gauge", "Shards by where they are: waiting, in_hand of actors, done", ("queue",)
        ),
        Metric("hardset_actors", "gauge", "Actors: live, or asked for and not there yet", ("state",)),
        Metric("hardset_last_shard_time", "gauge", "Unix time at which the last shard ended"),
    )
}
Record = Callable[[Metric, float, dict[str, str]], None]
"""Adds to a counter, sets a gauge, or observes, under tags."""


class RunMetrics:
    """The metrics of one run. Where there is no Ray, or its metrics fail, nothing happens; no run fails by them."""

    def __init__(self, plan: Plan, record: Record | None = None, *, done: int = 0) -> None:
        """`done`: shards that were there before."""
        self._record = record or _through_ray()
        self._done, self._seen = done, Tally()
        self._tags = {"job_name": str(plan.job["name"]), "run": plan.run_id[:8]}
        self._recipes = [recipe_label(position, recipe) for position, recipe in enumerate(plan.job["recipes"])]
        self._kinds = [_KINDS[recipe["kind"]] for recipe in plan.job["recipes"]]
        self._shards = plan.shards
        self._tell("hardset_planned_shards", len(plan.shards))

    def ended(self, result: Receipt | Failure) -> None:
        """Counts a shard that was committed or given up."""
        position = self._shards[result.index].recipe
        recipe, committed = self._recipes[position], isinstance(result, Receipt)
        self._tell("hardset_shards", 1, recipe=recipe, outcome="committed" if committed else "failed")
        if isinstance(result, Receipt):
            self._done += 1
            self._count_rows(result, recipe, self._kinds[position])
            self._time(result, recipe)

    def stand(self, tally: Tally) -> None:
        """Tells how queues and actors stand, and what was lost since the last time."""
        queues = {"waiting": tally.shards_waiting, "in_hand": tally.shards_in_hand, "done": self._done}
        for queue, depth in queues.items():
            self._tell("hardset_queued_shards", depth, queue=queue)
        self._tell("hardset_actors", tally.actors, state="live")
        self._tell("hardset_actors", tally.actors_starting, state="asked_for")
        seen, self._seen = self._seen, tally
        self._tell("hardset_retries", tally.retries - seen.retries)
        for reason, attribute in _LOSSES.items():
            self._tell("hardset_lost_actors", getattr(tally, attribute) - getattr(seen, attribute), reason=reason)

    def _count_rows(self, receipt: Receipt, recipe: str, kind: str) -> None:
        counts = receipt.counts
        ends = {"stored": counts.rows_out, "quarantined": counts.quarantined, "dropped": counts.dropped}
        for outcome, rows in ends.items():
            self._tell("hardset_rows", rows, recipe=recipe, kind=kind, outcome=outcome)
        self._tell("hardset_attacked_rows", counts.attacked, recipe=recipe)
        self._tell("hardset_fooled_rows", counts.success, recipe=recipe)

    def _time(self, receipt: Receipt, recipe: str) -> None:
        started, finished = (datetime.fromisoformat(moment) for moment in (receipt.started, receipt.finished))
        self._tell("hardset_shard_seconds", (finished - started).total_seconds(), recipe=recipe)
        self._tell("hardset_last_shard_time", finished.timestamp())
        for stage, seconds in receipt.seconds.model_dump().items() if receipt.seconds else ():
            self._tell("hardset_stage_seconds", seconds, stage=stage)

    def _tell(self, name: str, value: float, **tags: str) -> None:
        metric = METRICS[name]
        if metric.kind == "counter" and value <= 0:  # Ray refuses to add nothing
            return
        self._record(metric, value, self._tags | tags)


def recipe_label(position: int, recipe: Mapping[str, Any]) -> str:
    """`0 pgd linf`, `2 augment`: a recipe as dashboards name it."""
    return " ".join((str(position), *name_and_norm(recipe)))


def _through_ray() -> Record:
    """Records through the Ray that this process is connected to; into nothing where it is to none."""
    ray = sys.modules.get("ray")  # where nobody has imported it, nobody is connected
    if ray is None or not ray.is_initialized():
        return lambda metric, value, tags: None
    declared: dict[str, Any] = {}

    def record(metric: Metric, value: float, tags: dict[str, str]) -> None:
        try:
            if metric.name not in declared:
                declared[metric.name] = _declare(metric)
            act = {"counter": "inc", "gauge": "set", "histogram": "observe"}[metric.kind]
            getattr(declared[metric.name], act)(value, tags=tags)
        except Exception:  # figures for people must never end a run
            _log.debug("%s could not be recorded", metric.name, exc_info=True)

    return record


def _declare(metric: Metric) -> Any:
    from ray.util.metrics import Counter, Gauge, Histogram  # noqa: PLC0415

    tags = (*RUN_TAGS, *metric.tags)
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.meaning, boundaries=list(_SHARD_SECONDS), tag_keys=tags)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.meaning, tag_keys=tags)
