"""`hardset.open_dataset`: the rows of one run, the same in every form."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import hardset
from hardset.pipeline.dataset.files.png import decode_png
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import COLUMNS
from tests.support import job_of, make_here

OLDER = sorted(Path(__file__).parents[1].glob("contract_1_*/dataset"))


@pytest.fixture(scope="module")
def nights(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Manifest]:
    """Two runs in one output, of 20 and 30 rows, and a data file that no run lists."""
    out = tmp_path_factory.mktemp("nights") / "out"
    flip = [{"kind": "augment", "ops": [{"name": "hflip", "p": 0.5}]}]
    first, second = (
        make_here(job_of(weights, out, recipes=flip, source={"format": "digits", "limit": rows})) for rows in (20, 30)
    )
    shutil.copy(next(out.glob("data/*/*.parquet")), out / "data" / "train-00099-000000000000.parquet")
    return out, first, second


def test_the_newest_run_is_all_that_is_seen(nights: tuple[Path, Manifest, Manifest]) -> None:
    out, first, second = nights
    dataset = hardset.open_dataset(out)
    assert (dataset.run_id, len(dataset), dataset.to_arrow().num_rows) == (second.run_id, 30, 30)
    assert dataset.sql("SELECT count(*) AS n FROM rows")["n"].to_pylist() == [30]
    earlier = hardset.open_dataset(str(out), run=first.run_id[:8])
    assert (earlier.run_id, len(earlier), earlier.to_arrow(["row_id"]).num_rows) == (first.run_id, 20, 20)


def test_every_form_holds_the_same_rows(nights: tuple[Path, Manifest, Manifest]) -> None:
    dataset = hardset.open_dataset(nights[0])
    table = dataset.to_arrow()
    assert table.column_names == [column.name for column in COLUMNS] == list(dataset.columns)
    labels, pixels = table["label"].to_pylist(), [decode_png(one["bytes"]) for one in table["image"].to_pylist()]
    assert dataset.to_arrow(["label", "row_id"]).column_names == ["label", "row_id"]
    assert dataset.to_polars(["label"])["label"].to_list() == labels

    hub = dataset.to_huggingface(["image", "label"])
    assert hub.features["label"].names == list(dataset.classes)
    assert hub["label"][:] == labels
    assert all(np.array_equal(np.asarray(one), other[..., 0]) for one, other in zip(hub["image"], pixels, strict=True))

    rows = dataset.to_torch(("label", "row_id"))
    assert len(rows) == 30
    image, label, row_id = rows[7]
    assert (label, row_id) == (labels[7], table["row_id"][7].as_py())
    assert torch.equal((image * 255).round().byte(), torch.from_numpy(pixels[7].copy()).permute(2, 0, 1))
    loader = torch.utils.data.DataLoader(dataset.to_torch(transform=lambda one: one.flatten()), batch_size=30)
    (batch,) = loader
    assert batch[0].shape == (30, 64) and batch[1].tolist() == labels


def test_rows_of_torch_go_to_workers(nights: tuple[Path, Manifest, Manifest]) -> None:
    loader = torch.utils.data.DataLoader(
        hardset.open_dataset(nights[0]).to_torch(), batch_size=16, num_workers=1, multiprocessing_context="fork"
    )
    images: list[Tensor] = [batch for batch, _ in loader]
    assert sum(map(len, images)) == 30


@pytest.mark.parametrize("folder", OLDER, ids=lambda folder: folder.parent.name)
def test_datasets_of_older_contracts_open(folder: Path) -> None:
    dataset = hardset.open_dataset(folder)
    table = dataset.to_arrow()
    assert table.num_rows == len(dataset) > 0
    assert table["confidence"].type == "float"
    assert dataset.to_huggingface().num_rows == len(dataset)
    assert dataset.to_torch()[0][0].dim() == 3


def test_what_is_not_there_is_said_in_a_sentence(nights: tuple[Path, Manifest, Manifest], tmp_path: Path) -> None:
    dataset = hardset.open_dataset(nights[0])
    with pytest.raises(hardset.JobError, match="no finished run here"):
        hardset.open_dataset(tmp_path)
    with pytest.raises(hardset.JobError, match="no finished run has that id"):
        hardset.open_dataset(nights[0], run="nope")
    with pytest.raises(hardset.JobError, match=r"columns: no column 'lable'; there are .*label"):
        dataset.to_arrow(["lable"])
    with pytest.raises(hardset.JobError, match="columns: got the text 'label'; wants a list"):
        dataset.to_polars("label")
    with pytest.raises(hardset.JobError, match=r"sql: .*lable.*; wants a query over the table rows"):
        dataset.sql("SELECT lable FROM rows")
    with pytest.raises(hardset.JobError, match="sql: "):
        dataset.sql(f"SELECT * FROM read_text('{Path(__file__)}')")


def test_a_file_that_is_gone_is_named(nights: tuple[Path, Manifest, Manifest], tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(nights[0], out)
    dataset = hardset.open_dataset(out)
    gone = dataset.manifest.data_files[0].path
    (out / gone).unlink()
    with pytest.raises(hardset.RunError, match=f"{gone}: is missing"):
        dataset.to_arrow()
    with pytest.raises(hardset.RunError, match=gone):
        dataset.sql("SELECT avg(label) FROM rows")


def test_a_library_that_is_missing_is_named(
    nights: tuple[Path, Manifest, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    dataset = hardset.open_dataset(nights[0])
    for name in ("polars", "datasets", "duckdb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(hardset.JobError, match=r"polars: is not installed .*pip install polars"):
        dataset.to_polars()
    with pytest.raises(hardset.JobError, match=r"datasets: is not installed .*pip install datasets"):
        dataset.to_huggingface()
    with pytest.raises(hardset.JobError, match=r"duckdb.* is not installed: pip install 'hardset\[inspect\]'"):
        dataset.sql("SELECT 1")
