"""Nights whose classes are not those of the night before: nothing moves without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.run.generation import Accept, RunOutcome, generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from tests.nights.conftest import FLIPS, Night
from tests.sources.making import png, write


class Folders:
    """Class folders of two images each, and an output beside them."""

    def __init__(self, place: Path, *names: str) -> None:
        self.source, self.out = place / "in", place / "out"
        for name in names:
            self.put(name)

    def put(self, name: str) -> None:
        for row in range(2):
            write(self.source / name / f"{row}.png", png(ord(name[0]) * 10 + row))

    def remove(self, name: str) -> None:
        for path in (self.source / name).iterdir():
            path.unlink()
        (self.source / name).rmdir()

    def job(self, **source: Any) -> Job:
        whole = {"format": "imagefolder", "path": str(self.source), **source}
        output = {"path": str(self.out), "shard_rows": 3}
        return parse_job({"name": "nightly", "source": whole, "recipes": [FLIPS], "output": output})

    def run(self, *, accept: bool = False, **source: Any) -> RunOutcome:
        return generate(self.job(**source), accept=Accept(classes=accept))

    def listed(self) -> dict[str, int]:
        """Rows of the newest run by class folder."""
        manifest = latest_manifest(Folder(str(self.out)))
        assert manifest is not None
        found: dict[str, int] = {}
        for output in manifest.outputs:
            assert output.data is not None
            label = _labels(self.out / output.data.path)
            found |= {manifest.classes[one]: found.get(manifest.classes[one], 0) + label.count(one) for one in label}
        return found


def _labels(path: Path) -> list[int]:
    return list(pq.read_table(path, columns=["label"])["label"].to_pylist())


def test_a_night_with_other_classes_stops_and_shows_both(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "a", "b", "c")
    first = folders.run().plan.run_id
    folders.remove("a")
    folders.put("d")
    wanted = (
        rf"source.classes: labels would change .*: run {first} had the classes \[a, b, c\], and now they are \[b, c"
    )
    with pytest.raises(JobError, match=wanted):
        folders.run()
    assert sorted(folders.listed()) == ["a", "b", "c"]
    told: list[str] = []
    generate(folders.job(), accept=Accept(classes=True), on_warning=told.append)
    assert any(text.startswith("source.classes: differ: run") for text in told)
    assert folders.listed() == {"b": 2, "c": 2, "d": 2}
    assert folders.run().status == "nothing to do"


def test_a_class_that_was_emptied_keeps_its_number(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "a", "b", "c")
    folders.run()
    for path in (folders.source / "a").iterdir():
        path.unlink()
    outcome = folders.run()
    assert outcome.plan.warnings == ("source.path: no file in the class folder a; it keeps its class number 0",)
    assert (outcome.shards_made, folders.listed()) == (0, {"b": 2, "c": 2})


def test_a_class_list_of_the_job_stays_as_folders_come_and_go(tmp_path: Path) -> None:
    folders, listed = Folders(tmp_path, "a", "b", "c"), ["a", "b", "c", "d"]
    folders.run(classes=listed)
    folders.remove("a")
    folders.put("d")
    outcome = folders.run(classes=listed)
    assert (outcome.shards_made, outcome.plan.classes) == (1, tuple(listed))


def test_rows_that_are_kept_keep_their_class(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "a", "b", "c")
    folders.run(vanished="keep")
    folders.remove("a")
    outcome = folders.run(vanished="keep")
    assert (outcome.shards_made, folders.listed()) == (0, {"a": 2, "b": 2, "c": 2})
    gone = "source.vanished: the source has no class a any more; its rows and its number are kept"
    assert gone in outcome.plan.warnings
    folders.put("b2")
    with pytest.raises(JobError, match=r"source.vanished: keep is not possible: run .* \[a, b, c\], and now .*b2"):
        folders.run(vanished="keep", accept=True)
    assert folders.listed() == {"a": 2, "b": 2, "c": 2}


def test_a_spelling_that_nfc_makes_equal_is_no_other_class(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "cafe\u0301", "dog")
    folders.run()
    (folders.source / "cafe\u0301").rename(folders.source / "caf\u00e9")
    assert folders.run().plan.classes == ("caf\u00e9", "dog")


@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
def test_a_sample_by_class_is_a_run_like_any_other(kind: str, tmp_path: Path) -> None:
    night = Night(tmp_path, kind)
    for name in "abcd":
        night.put(name, ord(name))
    first = night.run(limit={"rows": 8, "by": "class"})
    assert first.plan.warnings == ()
    night.check()
    assert night.run(limit={"rows": 8, "by": "class"}).status == "nothing to do"
    manifest = latest_manifest(Folder(str(night.out)))
    assert manifest is not None
    labels = [label for file in manifest.data_files for label in _labels(night.out / file.path)]
    assert sorted(labels) == [0] * 4 + [1] * 4
    (row, *_) = pq.read_table(night.out / manifest.data_files[0].path, columns=["row_id"])["row_id"].to_pylist()
    assert replay(Folder(str(night.out)), row, trust=Trust(records=True)).equal
