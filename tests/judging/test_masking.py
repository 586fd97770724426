"""Flags, what a shard counts of them, and the warnings a run makes of the counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.judging.masking import (
    flag_counts,
    run_warnings,
    signal_faults,
    signals_of,
    warnings_of,
)
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Output, Receipt
from hardset.schemas.rows.contract import COLUMNS
from hardset.schemas.rows.flags import FLAGS, flags_column, flags_of, with_flag
from tests.dataset.examples import RUN, commit_shard, finished_run, manifest_of, plan_of, shard_of

PGD = {"kind": "attack", "name": "pgd", "norm": "linf"}
STANDARD = {"kind": "attack", "name": "standard", "norm": "linf"}
SQUARE = {"kind": "attack", "name": "square", "norm": "l2"}


def counts(attacked: int, **signals: int) -> Counts:
    """Counts with signals; two underscores in a name stand for a colon."""
    return Counts(attacked=attacked, signals={name.replace("__", ":"): rows for name, rows in signals.items()})


# Flags.


def test_rows_list_their_flags_in_one_order() -> None:
    masks = {"unmoved": np.array([True, False, True]), "zero_gradient": np.array([True, False, False])}
    assert flags_column(masks) == ["zero_gradient,unmoved", "", "unmoved"]


@given(st.lists(st.sets(st.sampled_from(list(FLAGS))), min_size=1))
def test_flags_come_back_as_they_went_in(rows: list[set[str]]) -> None:
    column = flags_column({name: np.array([name in row for row in rows]) for name in reversed(FLAGS)})
    assert [set(flags_of(text)) for text in column] == rows
    assert [list(flags_of(text)) for text in column] == [[name for name in FLAGS if name in row] for row in rows]
    raised = np.arange(len(rows)) % 2 == 0
    for name in FLAGS:
        wanted = [row | {name} if up else row for row, up in zip(rows, raised, strict=True)]
        assert [set(flags_of(text)) for text in with_flag(column, name, raised)] == wanted


def test_a_flag_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="no such flags: sleepy"):
        flags_column({"sleepy": np.array([True])})


def test_every_flag_says_what_it_means_and_what_to_do() -> None:
    assert all(flag.meaning and flag.remedy for flag in FLAGS.values())
    assert not any("," in name for name in FLAGS)


# Counting.


def test_a_shard_counts_the_signals_of_attacked_rows_only() -> None:
    columns = {
        "flags": np.array(["zero_gradient,unmoved", "no_rise", "no_rise", "", "zero_gradient"]),
        "found_by": ["apgd_ce", "square", "square", "square", "apgd_ce"],
        "success": np.array([False, True, False, True, True]),
        "steps": np.array([10, 10, 1, 20, 10], np.int32),
    }
    found = signals_of(columns, np.array([True, True, True, True, False]))
    assert found == {
        "flag:no_rise": 2,
        "flag:unmoved": 1,
        "flag:zero_gradient": 1,
        "found_by:square": 2,
        "several_steps": 3,
        "several_steps:no_rise": 1,
    }
    assert list(found) == sorted(found)
    assert list(flag_counts(Counts(signals=found))) == ["zero_gradient", "no_rise", "unmoved"]


_SIGNALS = st.dictionaries(st.sampled_from([f"flag:{name}" for name in FLAGS]), st.integers(1, 99))


@given(_SIGNALS, _SIGNALS, _SIGNALS)
def test_counts_add_up_in_any_order_to_the_same_json(
    one: dict[str, int], other: dict[str, int], third: dict[str, int]
) -> None:
    a, b, c = (Counts(rows_in=len(signals), signals=signals) for signals in (one, other, third))
    left, right = (a + b) + c, c + (b + a)
    assert left.model_dump_json() == right.model_dump_json()
    assert left.rows_in == len(one) + len(other) + len(third)
    assert sum(left.signals.values()) == sum(map(sum, (one.values(), other.values(), third.values())))


# Warnings: one row over the threshold, and at it.

CASES: list[tuple[str, dict[str, Any], Counts, Counts]] = [
    ("square", STANDARD, counts(1000, found_by__square=3), counts(1000, found_by__square=2)),
    ("gradient was zero", PGD, counts(1000, flag__zero_gradient=11), counts(1000, flag__zero_gradient=10)),
    (
        "never rose",
        PGD,
        counts(1000, several_steps=100, several_steps__no_rise=51),
        counts(1000, several_steps=100, several_steps__no_rise=50, flag__no_rise=900),
    ),
    ("fewer classes", PGD, counts(1000, flag__few_classes=1), counts(1000)),
    ("8-bit level", PGD, counts(1000, flag__no_budget=1), counts(1000)),
    ("changed its mind", PGD, counts(1000, flag__stochastic=1), counts(1000)),
]


@pytest.mark.parametrize(("words", "recipe", "over", "at"), CASES, ids=[case[0] for case in CASES])
def test_each_warning_comes_above_its_threshold_and_not_at_it(
    words: str, recipe: dict[str, Any], over: Counts, at: Counts
) -> None:
    assert warnings_of(at, recipe) == []
    (text,) = warnings_of(over, recipe)
    assert words in text
    assert " of 1" in text
    assert "%)" in text
    assert "so " in text
    assert "; " in text, "what to do comes last"
    assert not text.endswith(".")


def test_figures_are_those_of_the_rows() -> None:
    (text,) = warnings_of(counts(2000, flag__zero_gradient=1234), PGD)
    assert "1,234 of 2,000 attacked rows (61.7%)" in text
    (text,) = warnings_of(counts(9, several_steps=1, several_steps__no_rise=1), PGD)
    assert "1 of 1 attacked row with more than one step (100.0%)" in text


def test_square_alone_betters_nobody() -> None:
    assert warnings_of(counts(1000, found_by__square=900), SQUARE) == []


def test_nothing_attacked_is_nothing_to_warn_of() -> None:
    assert warnings_of(Counts(), PGD) == []


def test_a_run_warns_of_each_attack_over_all_its_shards() -> None:
    ledger_free = [
        _output(recipe, counts(100, flag__zero_gradient=rows)) for recipe, rows in ((0, 1), (2, 1), (0, 0), (2, 2))
    ]
    recipes = [PGD, {"kind": "augment", "ops": [], "variants": 1}, {**PGD, "name": "fgsm", "norm": "l2"}]
    (text,) = run_warnings(recipes, ledger_free)
    assert text.startswith("Recipe 3 (fgsm, l2): the gradient was zero")
    assert "3 of 200" in text


def _output(recipe: int, these: Counts) -> Output:
    return Output(
        index=0,
        key="k",
        run_id=RUN,
        split="train",
        recipe=recipe,
        data=None,
        content_sha256="",
        quarantine=None,
        counts=these,
    )


# Verify.


def stored(**changes: Any) -> pa.Table:
    """Four adversarial rows as a file holds them; the first two are attacked, the second is a success."""
    columns = {
        "kind": ["adversarial"] * 4,
        "label": [0, 1, 2, 0],
        "target_label": [None] * 4,
        "clean_pred": [0, 1, 1, 1],
        "success": [False, True, False, False],
        "steps": [10, 10, 0, 1],
        "queries": [0, 7, 0, 0],
        "found_by": ["apgd_ce", "square", "apgd_ce", "apgd_ce"],
        "flags": ["zero_gradient,unmoved", "", "misclassified", ""],
        "transfer_pred": ['{"other":1}', None, None, None],
        "transferred": [1, None, None, None],
    }
    types = {c.name: c.type for c in COLUMNS}
    return pa.table({name: pa.array(changes.get(name, values), types[name]) for name, values in columns.items()})


COUNTED = counts(2, flag__zero_gradient=1, flag__unmoved=1, found_by__square=1, several_steps=2, transfer_fooled__m=9)


def test_sound_signals_have_no_faults() -> None:
    assert list(signal_faults(stored(), COUNTED)) == []


@pytest.mark.parametrize(
    ("column", "values", "at", "words"),
    [
        ("flags", ["zero_gradient,unmoved", "", "misclassified", "sleepy"], 3, "flags holds 'sleepy'; wants"),
        ("flags", ["unmoved,zero_gradient", "", "misclassified", ""], 0, "not in order"),
        ("flags", ["zero_gradient,unmoved", "", "misclassified", "unmoved,unmoved"], 3, "not in order"),
        ("steps", [10, 10, -1, 1], 2, "steps is -1"),
        ("queries", [0, 7, 0, -2], 3, "queries is -2"),
        ("transfer_pred", ["{", None, None, None], 0, "no JSON object"),
        ("transfer_pred", ["[1]", None, None, None], 0, "no JSON object"),
        ("transfer_pred", [None] * 4, 0, "only one is filled"),
        ("transferred", [2, None, None, None], 0, "transferred is 2 of 1 models"),
        ("transferred", [-1, None, None, None], 0, "transferred is -1 of 1 models"),
        ("flags", ["", "", "misclassified", ""], None, "do not carry the signals"),
        ("found_by", ["apgd_ce"] * 4, None, "do not carry the signals"),
        ("steps", [None, 10, 0, 1], None, "do not carry the signals"),
    ],
)
def test_faults_in_signals_are_found(column: str, values: list[Any], at: int | None, words: str) -> None:
    ((place, text),) = signal_faults(stored(**{column: values}), COUNTED)
    assert place == at
    assert words in text


def test_rows_that_were_left_out_are_not_missed() -> None:
    assert list(signal_faults(stored(found_by=["pgd"] * 4), COUNTED.model_copy(update={"dropped": 1}))) == []


# Records.


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


def test_receipt_and_manifest_keep_signals_and_warnings(folder: Folder) -> None:
    shard, ledger = shard_of(0), Ledger(folder, RUN)
    signals = counts(3, flag__zero_gradient=3, found_by__pgd=1)
    receipt = commit_shard(ledger, shard, counts=signals.model_copy(update={"rows_out": 3}))
    assert ledger.receipts() == {shard.key: receipt}
    manifest = manifest_of((shard,), [receipt]).model_copy(update={"warnings": ("one", "zwei: ü")})
    ledger.write_manifest(manifest)
    assert ledger.manifest() == manifest
    assert manifest.totals.signals == {"flag:zero_gradient": 3, "found_by:pgd": 1}


def test_records_of_older_versions_still_parse(folder: Folder) -> None:
    manifest = finished_run(folder, (shard_of(0), shard_of(1)))
    for path in [*folder.list(f"_hardset/runs/{RUN}/receipts/"), f"_hardset/runs/{RUN}/manifest.json"]:
        record = _without(json.loads(folder.read(path)))
        if "contract" in record:
            record["contract"] = (
                "1.0"  # later ones are refused without their seal, and so are receipts with more fields
            )
        else:
            record = {name: record[name] for name, field in Receipt.model_fields.items() if field.is_required()}
        folder.write(path, json.dumps(record).encode())
    ledger = Ledger(folder, RUN)
    assert ledger.manifest() == manifest.model_copy(update={"contract": "1.0"})
    assert [receipt.counts.signals for receipt in ledger.receipts().values()] == [{}, {}]


def _without(record: Any) -> Any:
    if isinstance(record, dict):
        return {key: _without(value) for key, value in record.items() if key not in ("signals", "warnings", "seal")}
    return [_without(item) for item in record] if isinstance(record, list) else record


def test_a_receipt_and_a_plan_say_all_that_a_manifest_lists() -> None:
    assert set(Output.model_fields) - set(Receipt.model_fields) == {"split", "recipe", "kept"}


# Where they are told.


def warned(folder: Folder) -> Manifest:
    """A finished run of one shard whose rows had no gradient."""
    shard, ledger = shard_of(0), Ledger(folder, RUN)
    ledger.write_plan(plan_of((shard,)))
    receipt = commit_shard(ledger, shard, counts=Counts(rows_out=3, attacked=3, signals={"flag:zero_gradient": 3}))
    manifest = manifest_of((shard,), [receipt])
    return manifest.model_copy(update={"warnings": run_warnings(manifest.job["recipes"], manifest.outputs)})


def test_the_card_tells_warnings_where_there_are_any(folder: Folder) -> None:
    manifest = warned(folder)
    write_card(folder, manifest)
    card = folder.read("README.md").decode()
    assert f"## Warnings\n\n* {manifest.warnings[0]}\n\n## Recipes" in card
    write_card(folder, manifest.model_copy(update={"warnings": ()}))
    assert "Warnings" not in folder.read("README.md").decode()


def test_status_warns_before_and_after_the_run_is_finished(folder: Folder) -> None:
    from tests.support import hardset, last_json

    manifest = warned(folder)
    for _ in range(2):
        done = hardset("status", folder.url, "--json")
        assert done.returncode == 0
        assert last_json(done)["runs"][0]["warnings"] == list(manifest.warnings)
        assert f"Warning: run {RUN[:8]}: {manifest.warnings[0]}" in done.stdout
        Ledger(folder, RUN).write_manifest(manifest)
