"""What bound a run: receipts of known stage seconds, added up by actor, and told wherever people look."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.run.status import run_statuses
from hardset.pipeline.shards.bottleneck import Meter, bound_sentence
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Receipt
from hardset.schemas.records.throughput import StageSeconds, Throughput
from tests.support import hardset, last_json

START = datetime(2026, 1, 1, tzinfo=UTC)


def receipt(at: float, *, actor: int = 1, rows: int = 100, **seconds: float) -> Receipt:
    """A shard that an actor began `at` seconds after the start of the run."""
    return Receipt(
        run_id="r",
        index=0,
        key="k",
        data=None,
        content_sha256="",
        quarantine=None,
        counts=Counts(rows_out=rows),
        attempt=1,
        started=(START + timedelta(seconds=at)).isoformat(timespec="milliseconds"),
        finished="",
        host="h",
        device="cpu",
        process=actor,
        seconds=StageSeconds(**seconds),
    )


def measured(*receipts: Receipt) -> Throughput:
    found = Meter(receipts).throughput()
    assert found is not None
    return found


def test_overlapping_shards_of_one_actor() -> None:
    """Two shards, each 1 s of reading, 4 s on the device and 1 s of encoding, the second waiting 3 s in between."""
    found = measured(receipt(0, read=1, device=4, encode=1), receipt(1, read=1, waiting=3, device=4, encode=1))
    assert (found.seconds, found.rows, found.rows_per_s) == (10, 200, 20)
    assert found.busy.model_dump() == {"read": 0.2, "device": 0.8, "encode": 0.2, "write": 0}
    assert (found.bound, len(found.actors)) == ("device", 1)
    assert bound_sentence(found).startswith("20.0 rows/s, bound by the device (busy: source 20%, device 80%, sink 20%)")


def test_actors_are_kept_apart_and_weighed_by_their_time() -> None:
    found = measured(receipt(0, device=10), receipt(0, actor=2, read=10, device=20), receipt(30, actor=2, device=10))
    assert [(a.actor, a.shards, a.seconds) for a in found.actors] == [("h:1", 1, 10), ("h:2", 2, 40)]
    assert (found.seconds, found.busy.device, found.busy.read) == (40, 0.8, 0.2)


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        ({"read": 9, "device": 5}, "source"),
        ({"read": 5, "device": 9}, "device"),
        ({"device": 4, "encode": 9}, "sink"),
        ({"device": 4, "write": 9}, "sink"),
        ({"read": 4, "device": 4, "encode": 4, "write": 4}, "nothing"),
    ],
)
def test_the_busiest_part_bound_the_run(seconds: dict[str, float], bound: str) -> None:
    found = measured(receipt(0, **seconds))
    assert found.bound == bound
    assert (f"the {bound}" if bound != "nothing" else "nothing in particular") in bound_sentence(found)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 3), *(st.floats(0, 50),) * 5), min_size=1, max_size=12))
def test_shares_are_shares_whatever_the_clocks_say(
    shards: list[tuple[float, int, float, float, float, float, float]],
) -> None:
    names = ("read", "device", "encode", "write", "waiting")
    found = measured(*(receipt(at, actor=a, **dict(zip(names, rest, strict=True))) for at, a, *rest in shards))
    shares = [share for part in (found, *found.actors) for share in part.busy.model_dump().values()]
    assert all(0 <= share <= 1 for share in shares)
    assert sum(actor.rows for actor in found.actors) == found.rows == 100 * len(shards)


def test_receipts_that_measured_nothing_are_passed_over() -> None:
    assert Meter([receipt(0).model_copy(update={"seconds": None})]).throughput() is None
    assert Meter().throughput() is None


# Where it is told.


def manifest_of(out: Path) -> Manifest:
    record = json.loads(next(out.glob("_hardset/runs/*/manifest.json")).read_text())
    del record["seal"]
    return Manifest.model_validate(record)


def test_a_run_of_ray_actors_tells_it_in_manifest_status_and_report(small_dataset: Path) -> None:
    manifest = manifest_of(small_dataset)
    found = manifest.throughput
    assert found is not None and found.rows == manifest.totals.rows_out
    assert 1 <= len(found.actors) <= 2 and sum(actor.shards for actor in found.actors) == len(manifest.outputs)
    assert found.busy.device > 0
    told = bound_sentence(found)
    done = hardset("status", small_dataset, "--json")
    assert told in " ".join(done.stdout.split())
    record = last_json(done)["runs"][0]["throughput"]
    assert record["told"] == told and record["busy"] == found.busy.model_dump() and "actors" not in record
    hardset("report", small_dataset, "--to", html := small_dataset.parent / "report.html")
    assert told in html.read_text()


def test_while_it_runs_it_is_told_from_receipts(small_dataset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_dataset, tmp_path / "copy")
    next(copy.glob("_hardset/runs/*/manifest.json")).unlink()
    (run,) = run_statuses(Folder(str(copy)))
    assert run.throughput == manifest_of(small_dataset).throughput


def test_records_without_it_load(small_dataset: Path) -> None:
    manifest = manifest_of(small_dataset)
    older = {key: value for key, value in manifest.model_dump(mode="json").items() if key != "throughput"}
    assert Manifest.model_validate(older).throughput is None
