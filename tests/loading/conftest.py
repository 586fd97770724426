"""A run to load, made once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardset.schemas.records.run import Manifest
from tests.loading.examples import made_run


@pytest.fixture(scope="module")
def run(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Manifest]]:
    place = tmp_path_factory.mktemp("load") / "out"
    with pytest.MonkeyPatch.context() as patch:
        yield place, made_run(weights, place, patch)


@pytest.fixture(scope="module")
def out(run: tuple[Path, Manifest]) -> Path:
    return run[0]
