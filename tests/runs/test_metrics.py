"""Metrics: what is counted at each end of a shard, what Prometheus sees of it, and that nothing fails by them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import promql_parser
import pytest
import yaml

from hardset.pipeline.cluster.messages import Tally
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.run.metrics import METRICS, RUN_TAGS, Metric, Record, RunMetrics, recipe_label
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Failure, Shard
from hardset.schemas.records.throughput import StageSeconds
from tests.dataset.examples import RUN, commit_shard, plan_of, shard_of

DOCKER = Path(__file__).parents[2] / "docker"


class Recorder:
    """Keeps what is recorded, as Ray would: counters add up, gauges keep the last value."""

    def __init__(self) -> None:
        self.values: defaultdict[tuple[str, str], float] = defaultdict(float)

    def __call__(self, metric: Metric, value: float, tags: dict[str, str]) -> None:
        assert tags.keys() == {*RUN_TAGS, *metric.tags}, "Ray refuses tags that are not declared"
        assert metric.kind != "counter" or value > 0, "Ray refuses to add nothing"
        key = metric.name, " ".join(tags[name] for name in metric.tags)
        self.values[key] = value if metric.kind == "gauge" else self.values[key] + value


def recorded(tmp_path: Path, record: Record | None = None) -> dict[tuple[str, str], float]:
    """What three shards and a look at the queues leave, in a recorder that is given or a new one."""
    shards: tuple[Shard, ...] = (shard_of(0), shard_of(1), shard_of(2, recipe=1))
    kept = Recorder()
    metrics, ledger = RunMetrics(plan_of(shards), record or kept, done=10), Ledger(Folder(str(tmp_path)), RUN)
    seconds = StageSeconds(read=1, device=2.5, encode=0.5)
    for shard, changes in ((shards[0], {"lost": 1, "attempt": 3}), (shards[2], {})):
        receipt = commit_shard(ledger, shard, **changes)
        metrics.ended(receipt.model_copy(update={"seconds": seconds}))
    metrics.ended(Failure(index=1, key=shards[1].key, attempts=2, error="boom"))
    metrics.stand(Tally(actors=2, shards_in_hand=2, shards_waiting=5, retries=1))
    metrics.stand(Tally(2, 1, shards_in_hand=2, shards_waiting=4, retries=3, deaths=1, nodes_lost=1, abandoned=1))
    return dict(kept.values)


def test_every_end_of_a_shard_is_counted_once_and_where_it_belongs(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert found == {
        ("hardset_planned_shards", ""): 3,
        ("hardset_rows", "0 pgd linf adversarial stored"): 2,
        ("hardset_rows", "0 pgd linf adversarial quarantined"): 1,
        ("hardset_rows", "1 augment augmented stored"): 3,
        ("hardset_attacked_rows", "0 pgd linf"): 4,
        ("hardset_attacked_rows", "1 augment"): 6,
        ("hardset_fooled_rows", "0 pgd linf"): 2,
        ("hardset_fooled_rows", "1 augment"): 3,
        ("hardset_shards", "0 pgd linf committed"): 1,
        ("hardset_shards", "0 pgd linf failed"): 1,
        ("hardset_shards", "1 augment committed"): 1,
        ("hardset_retries", ""): 3,
        **{("hardset_lost_actors", reason): 1 for reason in ("died", "node_lost", "overdue")},
        ("hardset_stage_seconds", "read"): 2,
        ("hardset_stage_seconds", "device"): 5,
        ("hardset_stage_seconds", "encode"): 1,
        ("hardset_shard_seconds", "0 pgd linf"): 1,
        ("hardset_shard_seconds", "1 augment"): 1,
        ("hardset_queued_shards", "waiting"): 4,
        ("hardset_queued_shards", "in_hand"): 2,
        ("hardset_queued_shards", "done"): 12,
        ("hardset_actors", "live"): 2,
        ("hardset_actors", "asked_for"): 1,
        ("hardset_last_shard_time", ""): 1767225601,
    }


def test_every_metric_is_recorded_and_no_label_grows_with_the_run(tmp_path: Path) -> None:
    assert {name for name, _ in recorded(tmp_path)} == set(METRICS)
    labels = {tag for metric in METRICS.values() for tag in metric.tags}
    assert labels == {"recipe", "kind", "outcome", "stage", "queue", "state", "reason"}


def test_without_ray_nothing_happens_and_a_broken_ray_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of(0)
    receipt = commit_shard(Ledger(Folder(str(tmp_path)), RUN), shard)
    RunMetrics(plan_of((shard,))).ended(receipt)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("hardset.pipeline.run.metrics._declare", lambda metric: 1 / 0)
    RunMetrics(plan_of((shard,))).ended(receipt)


def test_recipes_have_names_that_tell_them_apart() -> None:
    assert recipe_label(2, {"kind": "sample"}) == "2 sample"
    assert recipe_label(0, {"kind": "attack", "name": "pgd", "norm": "l2"}) == "0 pgd l2"


def dashboard_queries() -> list[str]:
    dashboard = json.loads((DOCKER / "grafana_dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def variable_queries() -> list[str]:
    dashboard = json.loads((DOCKER / "grafana_dashboard.json").read_text())
    return [v["definition"] for v in dashboard["templating"]["list"] if v["type"] == "query"]


def alert_queries() -> list[str]:
    groups = yaml.safe_load((DOCKER / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def exported_labels() -> dict[str, set[str]]:
    """Labels of every name that Prometheus sees."""
    found = {metric.exported: {*RUN_TAGS, *metric.tags} for metric in METRICS.values()}
    for metric in METRICS.values():
        if metric.kind == "histogram":
            labels = found.pop(metric.exported)
            found |= {f"{metric.exported}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.exported}_bucket"] = {*labels, "le"}
    return found


@pytest.mark.parametrize("query", dashboard_queries() + alert_queries())
def test_every_query_is_promql_over_metrics_and_labels_that_exist(query: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "1m"))
    known = exported_labels()
    names = re.findall(r"ray_hardset_\w+", query)
    assert names and set(names) <= known.keys()
    labels: set[str] = set().union(*(known[name] for name in names))
    used = {label for inside in re.findall(r"\{(.*?)\}", query) for label in re.findall(r"(\w+)(?:=|!)", inside)}
    grouped = {label for inside in re.findall(r"by \((.*?)\)", query) for label in inside.split(", ")}
    assert used | grouped <= labels


def test_every_metric_is_on_the_dashboard_and_its_variables_choose_by_job_and_run() -> None:
    shown = " ".join(dashboard_queries())
    assert [metric.exported for metric in METRICS.values() if metric.exported not in shown] == []
    jobs, runs = variable_queries()
    assert jobs == "label_values(ray_hardset_planned_shards, job_name)"
    assert runs == 'label_values(ray_hardset_planned_shards{job_name=~"$job"}, run)'


def test_prometheus_scrapes_what_the_services_of_compose_export() -> None:
    (scrape,) = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in found["names"]:
        assert f"--metrics-export-port={found['port']}" in services[name]["command"]
    mounted = [volume.split(":")[0] for name in ("prometheus", "grafana") for volume in services[name]["volumes"]]
    assert all((DOCKER / file).is_file() for file in mounted)


CLUSTER = """
import json, sys, time, urllib.request
import ray
from pathlib import Path
from tests.runs.test_metrics import recorded

ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="error", object_store_memory=80_000_000)
from hardset.pipeline.cluster.messages import Tally
from hardset.pipeline.run.metrics import METRICS, _through_ray
recorded(Path(sys.argv[1]), _through_ray())
node = ray.nodes()[0]
url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
text, deadline = "", time.monotonic() + 60
while time.monotonic() < deadline and not all(metric.exported in text for metric in METRICS.values()):
    time.sleep(1)
    text = urllib.request.urlopen(url, timeout=5).read().decode()
ray.shutdown()
print(text)
"""


@pytest.mark.slow
def test_prometheus_sees_every_metric_of_a_real_ray_without_a_dashboard(tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    command = [sys.executable, "-c", CLUSTER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=DOCKER.parent)
    assert done.returncode == 0, done.stderr
    samples = [s for family in text_string_to_metric_families(done.stdout) for s in family.samples]
    ours = [sample for sample in samples if sample.name.startswith("ray_hardset_")]
    assert {sample.name for sample in ours} == exported_labels().keys()
    for sample in ours:
        assert exported_labels()[sample.name] <= sample.labels.keys()
        assert (sample.labels["job_name"], sample.labels["run"]) == ("nightly", RUN[:8])
    expected = recorded(tmp_path / "again")
    for metric in METRICS.values():
        found = {
            " ".join(sample.labels[tag] for tag in metric.tags): sample.value
            for sample in ours
            if sample.name == metric.exported + ("_count" if metric.kind == "histogram" else "")
        }
        # Of a histogram Ray's agent keeps the buckets alone: its sum is made of their middles, its count is true.
        assert found == {
            tags: 1 if metric.kind == "histogram" else value
            for (name, tags), value in expected.items()
            if name == metric.name
        }
