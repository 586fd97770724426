"""Datasets on the disk, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pytest

from hardset.jobs.api.reports import clean_rows_of
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.page import read_content
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Failure, Manifest
from tests.reporting.dataset import RECIPES, Setting, build

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
"""A text that would do harm wherever it is not escaped."""
SECRET = "hunter2"

HOSTILE = Setting(
    rows=120,
    shard_rows=120,
    recipes=RECIPES[:2],
    classes=tuple(f"{EVIL}{n}" for n in range(10)),
    quarantine=(
        {
            "source_key": EVIL,
            "stage": "read",
            "error_class": "UnreadableImage",
            "message": f"{EVIL} https://user:{SECRET}@host/a.png?token={SECRET}",
            "run_id": "r",
            "variant": 0,
        },
    ),
    failures=(Failure(index=3, key="0" * 64, attempts=3, error=f"{EVIL} s3://key:{SECRET}@bucket/x?sig={SECRET}#f"),),
    environment={"python": EVIL},
)


@dataclass(frozen=True)
class Dataset:
    """A dataset folder with its newest manifest."""

    folder: Folder
    manifest: Manifest

    @cached_property
    def content(self) -> Content:
        """What its report is made from."""
        return content_of(self.folder, self.manifest)


def content_of(folder: Folder, manifest: Manifest) -> Content:
    """What a report is made from, with clean rows from the source."""
    return read_content(folder, manifest, clean_rows_of(folder, Trust(records=True)))


def made(url: str, setting: Setting | None = None) -> Dataset:
    """Builds a dataset."""
    return Dataset(Folder(url), build(url, setting))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """All kinds of rows, complete."""
    return made(str(tmp_path_factory.mktemp("digits") / "out"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """An incomplete run whose names and messages hold markup and secrets."""
    return made(str(tmp_path_factory.mktemp("hostile") / "out"), HOSTILE)
