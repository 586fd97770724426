"""Images that cannot be made into rows: each costs its own row and no other."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.sources import DigitsSource
from hardset.schemas.reading.loading import parse_job
from tests.chaos.monkeys import torment
from tests.chaos.moody import STAMP, poison_deaths
from tests.chaos.nodes import Nodes
from tests.chaos.trial import Trial, TrialOf, digests
from tests.sources.making import encoded, parquet_bytes, write
from tests.support import RECIPES, make_here

IMAGES, SHARD = 5000, 100


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_one_poison_image_in_five_thousand(trial: TrialOf, nodes: Nodes, home: Path, tmp_path: Path) -> None:
    """One image is truncated and one ends whichever worker meets it; other workers are killed meanwhile."""
    dataset = trial(nodes=nodes)
    corrupt, lethal = dataset.random.sample(range(IMAGES), 2)
    source = write(tmp_path / "images.parquet", _images(corrupt=corrupt, lethal=lethal))
    dataset.document |= {"source": {"format": "parquet", "path": str(source)}, "recipes": [RECIPES[1]]}
    dataset.document["output"]["shard_rows"] = SHARD
    dataset.document["run"]["max_attempts"] = 2
    before = _undisturbed(dataset, tmp_path / "undisturbed")
    deaths = poison_deaths(home)
    with dataset.running() as scene:
        torment(scene, ["worker killed"], times=3)
        assert dataset.end(scene.driver, code=3)["failures"] == []
    dataset.trouble.note("lethal image", poison_deaths(home) - deaths)
    dataset.trouble.note("corrupt image")
    lost = [
        json.loads(line)
        for path in dataset.look.list("_hardset/quarantine/")
        for line in dataset.look.read(path).splitlines()
    ]
    assert sorted(row["source_index"] for row in lost) == sorted((corrupt, lethal))
    expected = {row["row_id"]: row for row in before if row["source_index"] != lethal}
    assert {row["row_id"]: row for row in _rows(dataset.look, "data/")} == expected
    assert len(expected) == IMAGES - 2
    dataset.undisturbed = {path: digest for path, digest in dataset.undisturbed.items() if not _holds(path, lethal)}
    assert dataset.is_as_undisturbed(but=lambda path: _holds(path, lethal))


def _holds(path: str, index: int) -> bool:
    """Whether a file is of the shard that a source row belongs to."""
    return f"-{index // SHARD:05d}-" in path


def _images(*, corrupt: int, lethal: int) -> bytes:
    source = open_source(DigitsSource())
    rows = [source.read(part, source.probe(), 10)[0] for part in source.plan(IMAGES)]
    digits = np.concatenate([part.pixels for part in rows])
    pixels = np.concatenate([digits, 255 - digits, digits // 2])[:IMAGES]
    labels = np.concatenate([part.labels for part in rows] * 3)[:IMAGES]
    pixels[lethal, 0, :, 0] = STAMP
    files = [encoded(image) for image in pixels]
    files[corrupt] = files[corrupt][: len(files[corrupt]) // 2]
    return parquet_bytes(files, labels.tolist(), names=list("0123456789"))


def _undisturbed(dataset: Trial, out: Path) -> list[dict[str, Any]]:
    """Makes the same where nothing is lethal, notes its digests, and returns its rows."""
    output = dataset.document["output"] | {"path": str(out)}
    make_here(parse_job(dataset.document | {"output": output}))
    dataset.undisturbed = digests(Folder(str(out)))
    return _rows(Folder(str(out)), "data/")


def _rows(folder: Folder, prefix: str) -> list[dict[str, Any]]:
    return [row for path in folder.list(prefix) for row in pq.read_table(io.BytesIO(folder.read(path))).to_pylist()]
