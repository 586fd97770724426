"""A dataset of all three families, read by the tools people use: every pixel and label, and the types the docs tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import datasets.config
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import columns_of
from tests.dataset.readers import READERS, Rows, header, kind_table, kinds, line, with_datasets_streaming
from tests.support import document, hardset, job_of, make_here

ROOT = Path(__file__).parents[2]
OUTPUT = (ROOT / "docs" / "output.md").read_text(encoding="utf-8")
RAY = """
import json, sys
from pathlib import Path
import ray
from tests.dataset.readers import pixels_digest
out = Path(sys.argv[1])
data = ray.data.read_parquet([str(out / path) for path in (out / "files.txt").read_text().split()])
schema = data.schema()
rows = {}
for row in data.select_columns(["row_id", "image", "label"]).iter_rows():
    assert row["row_id"] not in rows
    rows[row["row_id"]] = [pixels_digest(row["image"]["bytes"]), row["label"]]
Path(sys.argv[2]).write_text(json.dumps([rows, dict(zip(schema.names, map(str, schema.types)))]))
"""


@dataclass(frozen=True)
class Made:
    """A run, and the truth of its rows: digests as recorded when they were judged, labels as the source has them."""

    out: Path
    kinds: dict[str, list[str]]
    truth: Rows


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All three families, every column filled but parent_row_id; published as Iceberg and Delta tables."""
    out = tmp_path_factory.mktemp("read") / "out"
    plain = document(weights, out, sample=True)
    targeted = {"kind": "attack", "name": "pgd", "norm": "l2", "eps": 1.0, "steps": 2, "target": "next"}
    job = job_of(
        weights,
        out,
        source={"format": "digits", "limit": 40},
        recipes=[*plain["recipes"], targeted],
        transfer_to=[{"name": "rival", "factory": plain["model"]["factory"]}],
        output={"path": str(out), "shard_rows": 25, "license": "CC-BY-4.0"},
    )
    manifest = make_here(job)
    assert manifest.totals.rows_out == 40 * 5 + 120
    done = hardset("publish", str(out), "--iceberg", "--delta")
    assert done.returncode == 0, done.stderr
    return Made(out, kinds(out), true_rows(job, manifest))


def true_rows(job: Job, manifest: Manifest) -> Rows:
    labels = {}
    for part in make_plan(job).ranges:
        clean, _ = open_source(job.source).read(part, manifest.image, len(manifest.classes))
        labels |= {image_sha256(image): int(label) for image, label in zip(clean.pixels, clean.labels, strict=True)}
    rows: Rows = {}
    for output in manifest.outputs:
        assert output.data is not None
        for row in pq.read_table(Path(job.output.path) / output.data.path).to_pylist():
            label = row["label"] if row["kind"] == "generated" else labels[row["source_sha256"]]
            rows[row["row_id"]] = (row["image_sha256"], label)
    assert len(rows) == manifest.totals.rows_out
    return rows


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("reader", READERS)
def test_every_row_is_read_and_the_docs_tell_the_types(reader: str, made: Made) -> None:
    found = READERS[reader](made.out)
    assert found.rows == made.truth
    assert line(reader, found.types, made.kinds) in OUTPUT


def test_datasets_streams_the_same(made: Made) -> None:
    found = with_datasets_streaming(made.out)
    assert found.rows == made.truth
    assert line("datasets", found.types, made.kinds) in OUTPUT


@pytest.mark.slow
def test_ray_data_reads_every_row_and_the_docs_tell_the_types(made: Made, tmp_path: Path) -> None:
    """In a process of its own, as Ray leaves threads behind."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    found = tmp_path / "found.json"
    command = [sys.executable, "-c", RAY, str(made.out), str(found)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | settings, check=False, cwd=made.out
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows, types = json.loads(found.read_text())
    assert {row_id: tuple(row) for row_id, row in rows.items()} == made.truth
    assert line("ray.data", types, made.kinds) in OUTPUT


def test_the_docs_name_every_kind_of_column(made: Made) -> None:
    assert kind_table(made.kinds) in OUTPUT
    assert header(made.kinds) in OUTPUT
    filled = {name for names in made.kinds.values() for name in names}
    assert filled == {c.name for c in columns_of("1.1")} - {"parent_row_id"}
