"""Records of which a run holds one for every shard: small, and whole wherever they go."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import pytest
from benchmarks.records import plan_of, receipt_of

from hardset.schemas.base import Record

PLAN = plan_of(3, members=2)
RECORDS: list[Record] = [
    PLAN.shards[0],
    PLAN.ranges[0],
    receipt_of(PLAN.shards[0]),
    receipt_of(PLAN.shards[0]).output(PLAN.shards[0]),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_the_same_on_every_way(record: Record) -> None:
    kind = type(record)
    ways = [
        pickle.loads(pickle.dumps(record)),
        kind.model_validate_json(record.model_dump_json()),
        kind.model_validate(record.model_dump()),
        record.model_copy(),
        copy.deepcopy(record),
    ]
    for way in ways:
        assert way == record
        assert way.model_dump_json() == record.model_dump_json()
        assert way.model_fields_set is record.model_fields_set


def test_a_changed_copy_differs_in_what_was_changed_alone() -> None:
    shard = PLAN.shards[0]
    changed = shard.model_copy(update={"index": 7})
    assert changed != shard
    assert changed.model_dump() == shard.model_dump() | {"index": 7}


def test_a_plan_and_its_outputs_take_less_than_4_kb_a_shard() -> None:
    """A hundred thousand shards then fit a driver of any size."""
    tracemalloc.start()
    plan = plan_of(500)
    kept = [receipt_of(shard).output(shard) for shard in plan.shards]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / len(kept) < 4000
