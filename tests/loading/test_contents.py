"""What batches hold: pixels and labels as stored, mixtures, soft labels, no gaps; and what is refused."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import hardset
import hardset.torch
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.loading.datasets import soft_targets
from hardset.pipeline.loading.stored_rows import StoredRows
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.rows.contract import columns_of
from tests.loading.examples import SOURCE, made_run

OLDER = sorted(Path(__file__).parents[1].glob("contract_1_*/dataset"))


def stored(out: Path | str) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Pixels and other values by row id, as any reader finds them."""
    rows = hardset.open_dataset(out).to_arrow().to_pylist()
    return {row["row_id"]: (decode_png(row.pop("image")["bytes"]).tobytes(), row) for row in rows}


def levels(image: torch.Tensor) -> bytes:
    return (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy().tobytes()


def test_every_row_is_as_it_is_stored(out: Path) -> None:
    truth, found = stored(out), Counter[str]()
    for batch in hardset.torch.Batches(out, batch=32, columns=("row_id", "margin", "steps", "success", "op")):
        assert (batch["image"].dtype, batch["label"].dtype) == (torch.float32, torch.int64)
        for at, row_id in enumerate(batch["row_id"]):
            pixels, row = truth[row_id]
            assert levels(batch["image"][at]) == pixels
            assert (int(batch["label"][at]), batch["op"][at]) == (row["label"], row["op"])
            assert bool(batch["success"][at]) == bool(row["success"])
            assert int(batch["steps"][at]) == (-1 if row["steps"] is None else row["steps"])
            margin = float(batch["margin"][at])
            assert np.isnan(margin) if row["margin"] is None else margin == row["margin"]
            found[row_id] += 1
    assert found == Counter(truth.keys())


def test_levels_come_as_they_are_stored_where_they_are_asked_for(out: Path) -> None:
    first, second = (next(iter(hardset.torch.Batches(out, batch=16, pixels=one))) for one in ("uint8", "float32"))
    assert first["image"].dtype == torch.uint8
    assert torch.equal(first["image"].float() / 255, second["image"])


def test_row_groups_leave_the_memory_pool_of_others_as_it_was(out: Path) -> None:
    default, own = pa.default_memory_pool(), pa.system_memory_pool()
    rows = hardset.torch.Rows(out)
    rows[0]
    assert pa.default_memory_pool().backend_name == default.backend_name
    assert own.bytes_allocated() > 0


def test_no_column_breaks_the_default_collation(out: Path) -> None:
    """Every column of the contract at once, over rows that leave many of them empty."""
    names = [column.name for column in columns_of("1.2") if column.name != "image"]
    rows = hardset.torch.Rows(out, names)
    image, *values = next(iter(DataLoader(rows, batch_size=len(rows))))
    assert image.shape == (len(rows), 1, 8, 8)
    assert all(isinstance(value, torch.Tensor) or all(isinstance(one, str) for one in value) for value in values)
    (batch,) = hardset.torch.Batches(out, batch=len(rows), columns=[name for name in names if name != "label"])
    assert {*names, "image"} == batch.keys()
    assert default_collate([batch, batch])["image"].shape == (2, len(rows), 1, 8, 8)


def test_single_rows_are_those_of_arrow_in_its_order(out: Path) -> None:
    rows, table = hardset.open_dataset(out).to_torch(("row_id", "label")), hardset.open_dataset(out).to_arrow()
    truth = stored(out)
    assert len(rows) == table.num_rows
    for at in (0, 31, len(rows) - 1, -1):
        image, row_id, label = rows[at]
        assert (row_id, label) == (table["row_id"][at].as_py(), table["label"][at].as_py())
        assert levels(image) == truth[row_id][0]
    with pytest.raises(IndexError, match=f"row {len(rows)} of {len(rows)}"):
        rows[len(rows)]


# Soft labels


def test_soft_labels_are_the_shares_of_the_two_classes() -> None:
    columns = {"label_2": np.array([2, -1, 1, 0]), "label_weight": np.array([0.75, np.nan, 0.5, np.nan], np.float32)}
    found = soft_targets(np.array([0, 1, 1, 2]), columns, 3)
    assert found.tolist() == [[0.75, 0, 0.25], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert found.sum(dim=1).tolist() == [1, 1, 1, 1]


def test_rows_without_a_second_class_have_one_hot_targets(out: Path) -> None:
    for batch in hardset.torch.Batches(out, batch=32, soft_labels=True):
        assert torch.equal(batch["target"].argmax(dim=1), batch["label"])
        assert set(batch["target"].unique().tolist()) == {0.0, 1.0}
        assert "label_2" not in batch


def test_rows_of_two_classes_are_not_taken_for_rows_of_one(disk: Folder) -> None:
    from hardset.pipeline.dataset.records import ledger
    from tests.dataset import examples

    with pytest.MonkeyPatch.context() as patch:
        original = examples.columns_of
        patch.setattr(examples, "columns_of", lambda *a, **s: _with_second_label(original(*a, **s)))
        manifest = examples.finished_run(disk, (examples.shard_of(0), examples.shard_of(1)))
    assert ledger.latest_manifest(disk) == manifest
    with pytest.raises(hardset.JobError, match=r"soft_labels: .* holds rows of two classes"):
        hardset.torch.Batches(disk.url, batch=4)
    batches = list(hardset.torch.Batches(disk.url, batch=4, soft_labels=True))
    targets = torch.cat([batch["target"] for batch in batches])
    assert sorted(map(tuple, targets.tolist())) == sorted(2 * [(0.5, 0.0, 0.5), (0.0, 0.5, 0.5), (0.0, 0.0, 1.0)])


def _with_second_label(columns: dict[str, Any]) -> dict[str, Any]:
    count = len(columns["row_id"])
    return columns | {"label_2": [2] * count, "label_weight": [0.5] * count}


# Filters


@pytest.mark.parametrize(
    ("filters", "meets"),
    [
        ([("success", "=", True)], lambda row: row["success"] is True),
        (
            [("label", "in", [1, 2]), ("kind", "=", "augmented")],
            lambda row: row["label"] in (1, 2) and row["kind"] == "augmented",
        ),
        ([[("label", "=", 4)], [("margin", "<", -1)]], lambda row: row["label"] == 4 or (row["margin"] or 0) < -1),
        (pc.field("eps").is_null() & (pc.field("label") > 7), lambda row: row["eps"] is None and row["label"] > 7),
        ([("label", "=", 77)], lambda row: False),
    ],
)
def test_filters_leave_the_rows_that_meet_them(out: Path, filters: Any, meets: Any) -> None:
    wanted = {row_id for row_id, (_, row) in stored(out).items() if meets(row)}
    rows = hardset.torch.Rows(out, ("row_id",), filters=filters)
    assert sorted(rows[at][1] for at in range(len(rows))) == sorted(wanted)
    if wanted:
        batches = hardset.torch.Batches(out, batch=7, filters=filters, columns=("row_id",))
        assert Counter(row_id for batch in batches for row_id in batch["row_id"]) == Counter(wanted)
    else:
        with pytest.raises(hardset.JobError, match="no row to load in split train that the filters leave"):
            hardset.torch.Batches(out, batch=7, filters=filters)


def test_a_mix_has_filters_for_each_kind(out: Path) -> None:
    settings: dict[str, Any] = {"mix": {"adversarial": 0.5, "generated": 0.5}, "columns": ("kind", "success")}
    filters = {"adversarial": [("success", "=", True)], "generated": [("label", "<", 5)]}
    for batch in hardset.torch.Batches(out, batch=10, filters=filters, **settings):
        for kind, success, label in zip(batch["kind"], batch["success"], batch["label"], strict=True):
            assert success if kind == "adversarial" else label < 5
    with pytest.raises(hardset.JobError, match=r"filters: .*augmented.* is no kind of the mix"):
        hardset.torch.Batches(out, batch=10, filters={"augmented": []}, **settings)
    with pytest.raises(hardset.JobError, match=r"filters: .*adversarial.* is no kind of the mix"):
        hardset.torch.Batches(out, batch=10, filters=filters)


def test_row_groups_that_cannot_hold_such_a_row_are_not_read(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, ...]] = []
    table = StoredRows._table

    def watched(self: StoredRows, number: int, file: Any, group: int, columns: Any) -> Any:
        read.append(tuple(columns))
        return table(self, number, file, group, columns)

    monkeypatch.setattr(StoredRows, "_table", watched)
    assert len(hardset.torch.Rows(out)) > 200
    assert read == [], "footers alone tell how many rows there are"
    augmented = hardset.torch.Rows(out, filters=[("kind", "=", "augmented")])
    groups = len(augmented._rows._groups)
    assert len(read) == groups < len(hardset.torch.Rows(out)._rows._groups)
    assert set(read) == {("kind",)}, "only what the condition looks at"


# Places and versions


def test_any_url_is_read_also_by_workers(out: Path, s3_bucket: str) -> None:
    place = f"{s3_bucket}/{uuid.uuid4().hex}"
    near, far = Folder(str(out)), Folder(place)
    for path in near.list():
        far.write(path, near.read(path))
    wanted = [batch["row_id"] for batch in hardset.torch.Batches(out, batch=64, columns=("row_id",))]
    for workers in (0, 2):
        loader = hardset.torch.Loader(place, batch=64, columns=("row_id",), workers=workers)
        assert [batch["row_id"] for batch in loader] == wanted


@pytest.mark.parametrize("folder", OLDER, ids=lambda folder: folder.parent.name)
def test_datasets_of_older_contracts_are_loaded(folder: Path) -> None:
    truth = stored(folder)
    found = list(hardset.torch.Batches(folder, batch=7, columns=("row_id", "label_2", "flags"), soft_labels=True))
    assert sorted(row_id for batch in found for row_id in batch["row_id"]) == sorted(truth)
    for batch in found:
        assert set(batch["label_2"].tolist()) == {-1}
        assert all(levels(batch["image"][at]) == truth[row_id][0] for at, row_id in enumerate(batch["row_id"]))


def test_deflated_images_are_read_too(weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run(weights, tmp_path / "out", monkeypatch, output={"png_level": 6})
    truth = stored(tmp_path / "out")
    for batch in hardset.torch.Batches(tmp_path / "out", batch=50, columns=("row_id",)):
        assert all(levels(batch["image"][at]) == truth[row_id][0] for at, row_id in enumerate(batch["row_id"]))


# Refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch: got 0; wants 1 or more"),
        ({"seed": -1}, "seed: got -1"),
        ({"columns": ("lable",)}, r"columns: no column 'lable' to load; there are label, row_id"),
        ({"columns": ("image",)}, "columns: no column 'image' to load"),
        ({"filters": [("lable", "=", 1)]}, "filters: no column lable; there are"),
        ({"filters": [("label", "~", 1)]}, "filters: .*wants such as"),
        ({"filters": [("label", "=", "cat")]}, "filters: "),
        ({"split": "val"}, "there is no row to load in split val"),
        ({"pixels": "float16"}, "pixels: got 'float16'; wants float32 or uint8"),
        ({"rank": 1}, "rank, ranks: one is missing"),
        ({"rank": 2, "ranks": 2}, "rank: got 2 of 2 ranks; wants 0 to 1"),
        ({"clean": SOURCE}, "clean: no mix says how much of it"),
        ({"mix": {"clean": 1.0}}, "mix: has clean rows, and clean is missing"),
        ({"mix": {"adversarial": 0.5}}, "wants shares from 0 to 1 that add up to 1"),
        ({"mix": {"adversarial": 1.5, "augmented": -0.5}}, "wants shares from 0 to 1"),
        ({"mix": {"adverserial": 1.0}}, "mix: no kind 'adverserial'; there are clean, adversarial"),
        ({"mix": {"clean": 0.99, "augmented": 0.01}, "clean": SOURCE}, "batch: 10 rows are too few for every kind"),
        (
            {"mix": {"generated": 1.0}, "filters": [("success", "=", True)]},
            "mix: generated: .* has no such row in split train that the filters leave",
        ),
        ({"mix": {"augmented": 1.0}, "shuffle": False}, "shuffle: a mix draws rows"),
        ({"mix": {"clean": 1.0}, "clean": "photos/"}, "clean: got a str; wants a source as in a job file"),
        (
            {"mix": {"clean": 1.0}, "clean": {"format": "digits", "limt": 3}},
            r"clean: clean\.limt: .*did you mean limit",
        ),
        ({"mix": {"clean": 1.0}, "clean": {"format": "digits", "size": 4}}, "clean: the source has images of 4x4x1"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_a_sentence(out: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(hardset.JobError, match=message) as refusal:
        hardset.torch.Batches(out, **{"batch": 10} | settings)
    assert "\n" not in str(refusal.value)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(hardset.JobError, match="no finished run here"):
        hardset.torch.Loader(tmp_path, batch=4)
