"""The contract with schedulers: the JSON that is left last on stdout, and the exit code, for every verb and outcome."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hardset.jobs.api.generation import ended
from hardset.jobs.terminal.console import Exit
from hardset.pipeline.dataset.records.lease import acquire
from hardset.pipeline.dataset.records.ledger import manifests
from hardset.pipeline.run.budget import Left
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.json_schema import result_schema
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.results import RESULT, Ended, Refused, Submitted
from hardset.schemas.records.run import Changes, Failure
from tests.support import hardset, last_json

WriteJob = Callable[..., Path]
CHANGES = Changes(since="r", new=("a",), counts={"new": 1, "changed": 0, "vanished": 0})


@pytest.fixture(scope="module")
def finished(small_dataset: Path) -> RunOutcome:
    """A run with all that a result can tell of."""
    (manifest,) = manifests(Folder(str(small_dataset)))
    from hardset.pipeline.dataset.records.ledger import Ledger

    plan = Ledger(Folder(str(small_dataset)), manifest.run_id).plan()
    assert plan is not None and manifest.throughput is not None
    plan = plan.model_copy(update={"changes": CHANGES, "logical_date": "2026-11-25"})
    return RunOutcome(manifest.status, plan, manifest.totals, 11, manifest, manifest.throughput)


def outcomes(finished: RunOutcome) -> dict[str, tuple[RunOutcome, Exit]]:
    assert finished.manifest is not None
    failures = (Failure(index=0, key="k", attempts=3, error="boom"),)
    incomplete = finished.manifest.model_copy(update={"status": "incomplete", "failures": failures})
    signals = {"transfer_counted:rival": 4, "transfer_fooled:rival": 1}
    lossy = finished.manifest.model_copy(update={"totals": Counts(quarantined=1, attacked=4, signals=signals)})
    left = Left(3, 100, 1.5)
    return {
        "complete": (finished, Exit.DONE),
        "nothing to do": (RunOutcome("nothing to do", finished.plan, Counts(), 0, finished.manifest), Exit.DONE),
        "quarantine": (RunOutcome("complete", finished.plan, Counts(), 1, lossy), Exit.PARTIAL),
        "failed shards": (RunOutcome("incomplete", finished.plan, Counts(), 1, incomplete), Exit.PARTIAL),
        "stopped": (RunOutcome("stopped", finished.plan, Counts(), 1, None, None, "max_rows", left), Exit.STOPPED),
        "stopped at once": (
            RunOutcome("stopped", finished.plan, Counts(), 0, None, None, "signal", None),
            Exit.STOPPED,
        ),
    }


NAMES = ("complete", "nothing to do", "quarantine", "failed shards", "stopped", "stopped at once")


@pytest.mark.parametrize("name", NAMES)
def test_every_outcome_of_generate_keeps_the_contract_and_its_exit_code(finished: RunOutcome, name: str) -> None:
    outcome, code = outcomes(finished)[name]
    record = json.loads(json.dumps(ended(outcome).model_dump(mode="json")))
    # Closed where it is made: a key that the contract does not list fails here.
    assert isinstance(RESULT.validate_python(record, strict=False), Ended)
    assert Draft202012Validator(result_schema()).is_valid(record)
    assert record["exit_code"] == code
    submitted = {"submission_id": "hardset-x-1", "joined": False, "status": "FAILED", "exit_code": 3, "result": record}
    assert isinstance(RESULT.validate_python(submitted), Submitted)
    assert Draft202012Validator(result_schema()).is_valid(submitted)


def test_the_published_schema_lets_results_grow_and_refuses_others() -> None:
    check = Draft202012Validator(result_schema())
    refused = {"status": "failed", "error": "x", "exit_code": 1}
    assert check.is_valid(refused | {"later": 1})
    for wrong in ({}, {"status": "fine"}, refused | {"exit_code": 0.5}, {"status": "failed", "exit_code": 1}):
        assert not check.is_valid(wrong), wrong
    assert isinstance(RESULT.validate_python(refused), Refused)
    printed = json.loads(hardset("schema", "--result").stdout)
    assert printed == result_schema()
    assert "properties" in json.loads(hardset("schema").stdout)


@pytest.fixture(scope="module")
def place(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a broken one, and job files, good and bad."""
    folder = tmp_path_factory.mktemp("codes")
    for name in ("good", "broken", "held"):
        shutil.copytree(small_dataset, folder / name)
    next((folder / "broken").glob("data/*/*.parquet")).write_bytes(b"PAR1")
    (folder / "empty").mkdir()
    job = {"name": "j", "source": {"format": "digits"}, "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}]}
    (folder / "job.yaml").write_text(json.dumps(job | {"output": {"path": str(folder / "held")}}))
    (folder / "bad.yaml").write_text(json.dumps(job | {"outptu": {}}))
    (folder / "relative.yaml").write_text(json.dumps(job | {"output": {"path": "out"}}))
    (folder / "gone.yaml").write_text(
        json.dumps(job | {"source": {"format": "parquet", "path": str(folder / "no")}, "output": {"path": "/tmp/x"}})
    )
    acquire(Folder(str(folder / "held")), "another-run")
    return folder


AWAY = "http://127.0.0.1:9"
TABLE = [
    ("", 2),
    ("--help", 0),
    ("no-such-verb", 2),
    ("generate", 2),
    ("generate job.yaml --no-such-option", 2),
    ("generate none.yaml", 2),
    ("generate bad.yaml --json", 2),
    ("generate gone.yaml --json", 2),
    ("generate job.yaml --logical-date yesterday --json", 2),
    ("generate job.yaml --metrics-port 8080 --address auto --json", 2),
    ("generate job.yaml --json", 5),
    ("generate job.yaml --if-held skip --json", 0),
    ("plan job.yaml --json", 0),
    ("plan bad.yaml --json", 2),
    ("status good --json", 0),
    ("status empty --json", 2),
    ("status --json", 2),
    (f"status --address {AWAY} --json", 1),
    (f"submit job.yaml --address {AWAY} --json", 1),
    (f"submit relative.yaml --address {AWAY} --json", 2),
    (f"submit job.yaml --address {AWAY} --wheel none.whl --no-ship --json", 2),
    ("submit job.yaml --address nonsense --json", 2),
    ("submit job.yaml", 2),
    (f"stop job.yaml --address {AWAY} --json", 1),
    (f"logs some-id --address {AWAY}", 1),
    ("verify good --sample 0 --json", 0),
    ("verify broken --sample 0 --json", 1),
    ("verify empty --json", 2),
    ("replay good no-such-row --json", 2),
    ("explain good no-such-row --json", 2),
    ("report empty", 2),
    ("show empty", 2),
    ("diff good good --json", 0),
    ("diff good empty --json", 2),
    ("gc good --json", 0),
    ("gc held --json", 5),
    ("runs good --json", 0),
    ("attacks no-such-attack", 2),
    ("schema", 0),
    ("init job.yaml", 2),
]


@pytest.mark.parametrize(("line", "code"), TABLE, ids=[line or "nothing" for line, _ in TABLE])
def test_every_verb_ends_with_the_exit_code_that_tells_the_truth(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    done = hardset(*line.split())
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "fault of hardset" not in done.stderr
    if code:
        assert done.stderr.strip() or done.stdout.strip()
    if code and "--json" in line and "verify broken" not in line:
        record: dict[str, Any] = last_json(done)
        assert record["exit_code"] == code
        assert isinstance(RESULT.validate_python(record), Refused)
    assert sorted(place.rglob("*")) == before, "nothing is half written"
