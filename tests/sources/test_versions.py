"""One version of a source from beginning to end, by every verb that reads one: a branch of the Hub moves meanwhile."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hardset.jobs.api import generators
from hardset.pipeline.evaluation.evaluation_plan import make_plan as make_evaluation_plan
from hardset.pipeline.evaluation.evaluation_worker import EvaluationWorker
from hardset.pipeline.evaluation.gathered import clean_rows
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.loading.clean_rows import SourceRows, clean_part
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources.base import Source
from hardset.pipeline.sources.parquet import ParquetReader
from hardset.pipeline.sources.table import as_of_now
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.split_rows import read_splits
from hardset.schemas.digests import image_sha256
from hardset.schemas.job.evaluation import parse_evaluation
from hardset.schemas.job.hardening import HeldOutShare
from hardset.schemas.job.sources import ParquetSource, UserSource
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Image
from tests.sources.hub import Hub, reached
from tests.sources.making import parquet_bytes, pixels, png

pytest.importorskip("huggingface_hub")
PATH = "hf://datasets/org/name"
ROWS = 12
FIRST = tuple(image_sha256(pixels(i, 8, 8, 1)) for i in range(ROWS))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with reached(monkeypatch) as hub:
        push(hub, 0)
        yield hub


class OwnSettings(ParquetSource):
    """Settings of a source that is declared elsewhere."""

    format: str
    extra: int = 0
    """A setting of its own."""


OWN = Source(OwnSettings, ParquetReader)


def push(hub: Hub, seed: int) -> str:
    images = [png(seed + i, 8, 8, 1) for i in range(ROWS)]
    return hub.push({"data/train.parquet": parquet_bytes(images, [i % 2 for i in range(ROWS)], names=["a", "b"])})


def test_an_evaluation_reads_the_commit_that_was_planned(hub: Hub, weights: dict[str, str], tmp_path: Path) -> None:
    document = {
        "name": "hub",
        "source": {"format": "parquet", "path": PATH, "classes": [*"ab", *(f"none {i}" for i in range(8))]},
        "classes": 10,
        "models": [{"name": "m", "factory": "hardset.pipeline.models.zoo:small_cnn", "weights": weights["victim"]}],
        "threats": [{"eps": "8/255"}],
        "attacks": [{"name": "fgsm", "eps": "8/255"}],
        "output": {"path": str(tmp_path / "out"), "part_rows": ROWS},
    }
    job = parse_evaluation(document)
    first = hub.branches["main"]
    plan = make_evaluation_plan(job)
    assert plan.commit == first
    push(hub, 50)
    worker = EvaluationWorker(job, plan, torch.device("cpu"), PartStore(Folder(str(tmp_path / "out"))))
    assert worker.rows(0)[0].sha256 == FIRST
    assert next(clean_rows(job, plan)).sha256 == FIRST
    again = make_evaluation_plan(job)
    assert again.evaluation_id != plan.evaluation_id and again.commit == hub.branches["main"] != first


def training_job(out: Path, **source: Any) -> Any:
    return parse_job(
        {
            "name": "hub",
            "source": {"format": "parquet", "path": PATH, **source},
            "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 2},
            "recipes": [{"kind": "attack", "name": "fgsm", "eps": "8/255"}],
            "output": {"path": str(out)},
        }
    )


def test_hardening_makes_its_rows_from_the_commit_whose_rows_it_trains_on(hub: Hub, tmp_path: Path) -> None:
    job, first = training_job(tmp_path / "out"), hub.branches["main"]
    splits = read_splits(job, HeldOutShare(fraction=0.3))
    assert splits.commit == first
    assert {*splits.train.sha256, *splits.validation.sha256} == set(FIRST)
    asked = [path for path in hub.asked if "/tree/" in path or "/resolve/" in path]
    assert asked and all(first in path for path in asked)
    push(hub, 50)
    made = make_plan(job.model_copy(update={"source": splits.source}))
    assert made.commit == first


def test_a_generator_is_trained_and_judged_on_one_commit(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = {"weights": str(tmp_path / "g.safetensors"), "training": {"steps": 1, "batch": 2}}
    job = training_job(tmp_path / "out").model_dump(mode="json", exclude_unset=True)
    job = parse_job({**job, "recipes": [{"kind": "sample", "per_class": 1, "generator": generator}]})
    first, paths = hub.branches["main"], []
    monkeypatch.setattr(generators, "_trained", lambda job, *_: paths.append(job.source.path))
    generators.train_generators(job)
    assert paths == [f"{PATH}@{first}"]


def test_clean_rows_of_training_are_those_of_one_commit(hub: Hub) -> None:
    part = clean_part({"format": "parquet", "path": PATH}, Image(height=8, width=8, channels=1), "ab", window_bytes=0)
    assert isinstance(part, SourceRows)
    push(hub, 50)
    elsewhere = pickle.loads(pickle.dumps(part))  # as a worker of torch's loader has it
    found = elsewhere.take(np.arange(ROWS))
    assert tuple(image_sha256(one) for one in found.pixels) == FIRST


def test_settings_without_versions_stay_as_they_are(tmp_path: Path) -> None:
    job = training_job(tmp_path / "out", path=str(tmp_path))
    assert as_of_now(job.source) is job.source


def test_a_source_of_ones_own_on_the_hub_is_pinned_too(hub: Hub) -> None:
    spec = UserSource.model_validate({"format": f"{__name__}:OWN", "path": PATH, "extra": 3})
    assert as_of_now(spec).model_dump() == {**spec.model_dump(), "path": f"{PATH}@{hub.branches['main']}"}
