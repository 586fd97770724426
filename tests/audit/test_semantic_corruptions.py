"""Lies of a forger who makes all digests and records fit are found by what an audit is given to compare them with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from tests.audit.forger import Forger
from tests.audit.grid import MODES, PAGE, finds, found_by, made
from tests.audit.semantic_corruptions import LIES

HANDFUL = (
    *("eps of a row", "more steps than the recipe can spend", "source_index", "params", "order of rows"),
    *("a row gone, told as held out", "licence in the card", "manifest without seal", "rows in the events"),
    *("label of all variants of a row", "clean_margin", "a level of a generated row", "why a row is in quarantine"),
)


@pytest.fixture(scope="module")
def job(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    return made(tmp_path_factory.mktemp("grid"), weights)


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(PAGE.read_text(encoding="utf-8"))["found"]
    return found


def test_a_whole_dataset_has_no_fault_in_any_mode(job: Job) -> None:
    trust = Trust(job=job, source=getattr(job.source, "path", ""))
    findings = verify(Folder(job.output.path), sample=None, replay=None, trust=trust)
    assert findings.faults == []
    assert findings.rejudged == findings.remade == findings.rows == 65


def test_what_a_forger_leaves_alone_stays_whole(job: Job, tmp_path: Path) -> None:
    """So that what is found is the lie, and not the forger's hand."""
    shutil.copytree(job.output.path, tmp_path / "copy")
    Forger(tmp_path / "copy").finish()
    assert not any(finds(tmp_path / "copy", job, mode) for mode in MODES[:-1])


@pytest.mark.parametrize("name", HANDFUL)
def test_a_lie_is_found_by_its_cheapest_mode(job: Job, table: dict[str, list[str]], tmp_path: Path, name: str) -> None:
    cheapest = table[name][:1]
    assert found_by(Path(job.output.path), job, LIES[name], tmp_path / "copy", cheapest) == cheapest


def test_the_table_has_every_kind_of_lie_and_each_is_found(table: dict[str, list[str]]) -> None:
    assert list(table) == list(LIES)
    assert [name for name, modes in table.items() if not modes] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_table_is_what_verify_finds(job: Job, table: dict[str, list[str]], tmp_path: Path) -> None:
    found = {
        name: found_by(Path(job.output.path), job, lie, tmp_path / f"{at}")
        for at, (name, lie) in enumerate(LIES.items())
    }
    assert found == table


def test_replay_makes_as_many_rows_as_it_is_told(job: Job) -> None:
    for number in (1, 7, 64):
        findings = verify(Folder(job.output.path), sample=0, replay=number, trust=Trust(job=job))
        assert (findings.faults, findings.remade, findings.rejudged) == ([], number, 0)
