"""Figures held against an independent reading of the same files, by DuckDB."""

from __future__ import annotations

import io
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.dataset.files import scan
from hardset.pipeline.reporting.notices import notices
from hardset.pipeline.statistics.recipe_statistics import gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Failure
from tests.reporting.conftest import Dataset, made
from tests.reporting.dataset import SHIFT, STRONG, TARGETED, WEAK, Setting


def query(dataset: Dataset, sql: str) -> list[tuple[Any, ...]]:
    path = f"{dataset.folder.url}/data/*/*.parquet"
    return duckdb.sql(sql.replace("ROWS", f"read_parquet('{path}')")).fetchall()


def test_counts_are_those_of_the_rows(digits):
    statistics = gather(digits.folder, digits.manifest)
    assert statistics.kinds == dict(query(digits, "select kind, count(*) from ROWS group by kind"))
    attacked = "kind = 'adversarial' and (target_label is not null or clean_pred = label)"
    expected = {
        (recipe, label): tuple(map(int, figures))
        for recipe, label, *figures in query(
            digits,
            f"""select recipe_id, label, count(*), count(*) filter ({attacked}),
            count(*) filter (success), count(clean_pred), count(*) filter (clean_pred = label),
            count(pred), count(*) filter (pred = label) from ROWS group by recipe_id, label""",
        )
    }
    found = {
        (recipe.recipe_id, label): tuple(tally.__dict__.values())
        for recipe in statistics.recipes
        for label, tally in enumerate(recipe.by_class)
        if tally.rows
    }
    assert found == expected
    for recipe in statistics.recipes:
        assert (recipe.tally.attacked, recipe.tally.success) == (recipe.counts.attacked, recipe.counts.success)
        assert recipe.counts.rows_out == recipe.tally.rows


def test_recipes_keep_the_order_of_the_job(digits):
    recipes = gather(digits.folder, digits.manifest).recipes
    assert [recipe.position for recipe in recipes] == [0, 1, 2, 3, 4]
    assert [recipe.text["kind"] for recipe in recipes] == ["attack", "attack", "attack", "augment", "sample"]
    assert [recipe.targeted for recipe in recipes] == [False, False, True, False, False]


def test_distributions_are_those_of_the_rows(digits):
    for recipe in gather(digits.folder, digits.manifest).recipes:
        sql = f"select {{}} from ROWS where recipe_id = '{recipe.recipe_id}' and {{}} is not null"
        for name in ("margin", "clean_margin", "l2", "l1", "linf_levels", "steps"):
            values = [float(value) for (value,) in query(digits, sql.format(name, name))]
            histogram = {"clean_margin": recipe.clean_margins, "margin": recipe.margins}.get(name)
            histogram = histogram if histogram is not None else getattr(recipe, name)
            assert len(histogram) == len(values)
            for share in (0.05, 0.5, 0.95):
                if values:
                    exact = np.quantile(values, share, method="inverted_cdf")
                    assert abs(histogram.quantile(share) - exact) <= histogram.width
        (bounds,) = query(digits, f"select min(eps), max(eps) from ROWS where recipe_id = '{recipe.recipe_id}'")
        assert recipe.eps == (None if bounds[0] is None else bounds)


def test_batch_size_does_not_matter(digits, monkeypatch):
    whole = gather(digits.folder, digits.manifest)
    monkeypatch.setattr(scan, "BATCH_ROWS", 7)
    assert gather(digits.folder, digits.manifest) == whole


def test_images_are_never_read(tmp_path, monkeypatch):
    dataset = made(str(tmp_path / "out"), Setting(recipes=(STRONG,), rows=1437, shard_rows=1437))
    (output,) = dataset.manifest.outputs
    footer = pq.read_metadata(io.BytesIO(dataset.folder.read(output.data.path)))
    image = next(c for c in map(footer.row_group(0).column, range(9)) if c.path_in_schema == "image.bytes")
    start, stop = image.data_page_offset, image.data_page_offset + image.total_compressed_size
    assert stop < output.data.bytes - 65_536, "pyarrow opens a file by its last 64 KiB, which must not be image bytes"
    fetched: list[tuple[int, int]] = []
    read_part = Folder.read_part

    def spy(self: Folder, path: str, first: int, last: int) -> bytes:
        fetched.append((first, last))
        return read_part(self, path, first, last)

    monkeypatch.setattr(Folder, "read_part", spy)
    monkeypatch.setattr(Folder, "read", lambda self, path: pytest.fail(f"{path} was read whole"))
    assert gather(dataset.folder, dataset.manifest).kinds == {"adversarial": 1437}
    assert fetched
    assert all(last <= start or first >= stop for first, last in fetched)


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_files_that_cannot_be_read_are_named_and_the_rest_counted(tmp_path, damage):
    dataset = made(str(tmp_path / "out"), Setting(recipes=(STRONG, SHIFT), rows=90, shard_rows=30))
    victim = dataset.manifest.outputs[1].data
    data = dataset.folder.read(victim.path)
    if damage == "missing":
        dataset.folder.delete(victim.path)
    elif damage == "truncated":
        dataset.folder.write(victim.path, data[: len(data) // 2])
    else:
        footer = pq.read_metadata(io.BytesIO(data)).row_group(0)
        margin = next(c for c in map(footer.column, range(footer.num_columns)) if c.path_in_schema == "margin")
        at = margin.data_page_offset + margin.total_compressed_size - 3
        dataset.folder.write(victim.path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    statistics = gather(dataset.folder, dataset.manifest)
    assert [reason.split(":")[0] for reason in statistics.unreadable] == [victim.path]
    assert sum(statistics.kinds.values()) == 180 - 30
    assert any(notice.warning and victim.path in notice.text for notice in notices(statistics))


def test_rates_of_a_job_that_keeps_successes_count_the_dropped_rows(tmp_path):
    every = made(str(tmp_path / "all"), Setting(recipes=(WEAK,), rows=200))
    some = made(str(tmp_path / "some"), Setting(recipes=(WEAK,), rows=200, keep="success"))
    left, right = (gather(dataset.folder, dataset.manifest) for dataset in (every, some))
    assert right.only_successes
    assert not left.only_successes
    assert left.recipes[0].counts.success == right.recipes[0].counts.success == right.recipes[0].tally.rows > 0
    assert left.recipes[0].counts.attacked == right.recipes[0].counts.attacked > right.recipes[0].tally.attacked


def test_quarantine_is_counted_by_reason(tmp_path):
    records = tuple(
        {"source_key": f"row{n}", "stage": stage, "error_class": name, "message": f"message {n}"}
        for n, (stage, name) in enumerate([("read", "WrongSize"), ("make", "Odd"), ("read", "WrongSize")])
    )
    dataset = made(str(tmp_path / "out"), Setting(recipes=(SHIFT,), rows=20, quarantine=records))
    first, second = gather(dataset.folder, dataset.manifest).quarantine
    assert (first.stage, first.error_class, first.rows, first.source_key) == ("read", "WrongSize", 2, "row0")
    assert (second.stage, second.error_class, second.rows, second.message) == ("make", "Odd", 1, "message 1")


def test_notices_say_what_is_wrong(tmp_path):
    recipes = (
        {**STRONG, "eps": "1/510"},
        {**STRONG, "eps": {"min": "0.001", "max": "8/255"}},
        {**STRONG, "eps": "0.03"},
        {**STRONG, "eps": "16/255"},
        TARGETED,
    )
    setting = Setting(
        recipes=recipes,
        rows=60,
        quarantine=({"stage": "read", "error_class": "WrongSize", "message": "m"},),
        failures=(Failure(index=9, key="0" * 64, attempts=3, error="died"),),
    )
    dataset = made(str(tmp_path / "out"), setting)
    found = notices(gather(dataset.folder, dataset.manifest))
    texts = " | ".join(notice.text for notice in found)
    warnings = [notice.text for notice in found if notice.warning]
    assert found == sorted(found, key=lambda notice: not notice.warning)
    assert "incomplete: 1 shard failed" in warnings[0]
    assert any("1 row could not be made" in text for text in warnings)
    assert any("Recipe 1: eps 0.001961 is less than one 8-bit level" in text for text in warnings)
    assert any("Recipe 2: eps 0.001 to 8/255 starts below one 8-bit level" in text for text in warnings)
    assert "Recipe 3: eps 0.03 is 7.65 levels of 8 bits; stored pixels change by 7 at most." in texts
    assert "Recipe 4" not in texts


def test_a_sound_run_has_no_warnings(digits):
    assert not [notice for notice in notices(gather(digits.folder, digits.manifest)) if notice.warning]
