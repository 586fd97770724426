"""A folder as `hardset demo` leaves it, and a Ray cluster that belongs to the caller."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import yaml

from hardset.schemas.reading.loading import parse_job
from tests.support import document, make_here


@pytest.fixture(scope="session")
def demo(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds demo/model.safetensors, demo/job.yaml and demo/out, the dataset of that job."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "demo").mkdir()
    shutil.copy(weights["victim"], folder / "demo" / "model.safetensors")
    paths = {**weights, "victim": str(folder / "demo" / "model.safetensors")}
    job = document(paths, folder / "demo" / "out", source={"format": "digits", "limit": 60})
    (folder / "demo" / "job.yaml").write_text(yaml.safe_dump(job))
    make_here(parse_job(job))
    return folder


@pytest.fixture(scope="module")
def callers_ray() -> Iterator[None]:
    """Ray as the caller of a function has started it."""
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024**2
    )
    yield
    assert ray.is_initialized(), "somebody ended the caller's Ray"
    ray.shutdown()
