"""Night after night of growth, edits, losses and outages end in the dataset of one clean pass over the last source."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.run.budget import Budget
from hardset.pipeline.run.generation import generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import RunError
from tests.nights.conftest import Night
from tests.nights.drivers import start

SEED = 20261125
COMMAND = ["generate", "--json", "--if-held", "wait"]


def content(night: Night) -> dict[str, Any]:
    """All that the newest manifest's files hold, by shard key, and the manifest's own digest.

    The file's SHA-256 must be the manifest's. Its run id, in the footer and in a column, is the one thing that tells
    which night made a file; so rows are compared without it.
    """
    manifest = latest_manifest(Folder(str(night.out)))
    assert manifest is not None
    assert manifest.status == "complete"
    shards = {}
    for output in manifest.outputs:
        assert output.data is not None
        data = (night.out / output.data.path).read_bytes()
        assert sha256_hex(data) == output.data.sha256
        table = pq.read_table(night.out / output.data.path)
        assert set(table["run_id"].to_pylist()) == {output.run_id}
        rows = table.drop_columns(["run_id"]).to_pylist()
        shards[output.key] = (output.index, output.split, output.content_sha256, output.counts, rows)
    return {"content": manifest.content_sha256, "totals": manifest.totals, "shards": shards}


@dataclass
class Source:
    """Files that come, change and go."""

    night: Night
    draw: random.Random
    files: dict[str, int]

    @classmethod
    def made(cls, night: Night, seed: int) -> Source:
        """With its first two files."""
        source = cls(night, random.Random(seed), {})
        source.grow()
        source.grow()
        return source

    def change(self) -> None:
        """What happens between two nights."""
        act = self.draw.choice([self.grow, self.grow, self.edit, self.lose, self.restore, lambda: None])
        act()

    def grow(self) -> None:
        """A file more."""
        name = f"f{len(self.files):02d}"
        self._put(name, 1000 + len(self.files))

    def edit(self) -> None:
        """A file has other bytes."""
        self._put(self.draw.choice(sorted(self.files)), self.draw.randrange(2000, 3000))

    def restore(self) -> None:
        """A file is again what it was at first, or is back."""
        name = self.draw.choice(sorted(self.files))
        self._put(name, 1000 + int(name[1:]))

    def lose(self) -> None:
        """A file is gone, where another is left."""
        there = sorted(name for name, seed in self.files.items() if seed)
        if len(there) > 1:
            name = self.draw.choice(there)
            self.night.remove(name)
            self.files[name] = 0

    def _put(self, name: str, seed: int) -> None:
        self.files[name] = seed
        self.night.put(name, seed)


def clean_pass(night: Night, place: Path) -> dict[str, Any]:
    """The content of one run that nothing disturbed, over the source as it is."""
    again = Night(place, night.kind)
    again.source = night.source
    again.run()
    return content(again)


@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
def test_disturbed_nights_end_as_a_clean_pass(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven nights in one process: stopped by budgets, by a store that fails, and by the end of the process."""
    night = Night(tmp_path, kind)
    source = Source.made(night, SEED)
    for number in range(7):
        _disturbed(night, source.draw, monkeypatch)
        if number % 3 == 2:
            night.run()
        source.change()
    night.run()
    assert content(night) == clean_pass(night, tmp_path / "clean")
    night.check()


class Gone(BaseException):
    """The process is gone: nothing that follows in it happens, and its lease is left to run out."""


def _disturbed(night: Night, draw: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night that is cut off somewhere, or is not."""
    how, at = draw.choice(["budget", "refused", "gone", "nothing"]), draw.randrange(1, 12)
    with monkeypatch.context() as patch:
        if how in ("refused", "gone"):
            _cut_off(patch, at, RunError("out of reach") if how == "refused" else Gone())
        with suppress(RunError, Gone):
            generate(night.job(), budget=Budget(max_rows=3 * at if how == "budget" else None))
    if how == "gone":  # this process lives on, so the lease must be told to be over
        folder = Folder(str(night.out))
        for path in folder.list("_hardset/lease/"):
            folder.write(path, folder.read(path).replace(b'"released":false', b'"released":true'))


def _cut_off(patch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
    left = at
    for name in ("write", "create", "delete"):
        act = getattr(Folder, name)

        def failing(folder: Folder, *parts: Any, act: Any = act) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise error
            return act(folder, *parts)

        patch.setattr(Folder, name, failing)


def job_file(night: Night) -> str:
    """The job as a file."""
    path = night.out.parent / "job.yaml"
    path.write_text(yaml.safe_dump(night.job().model_dump(mode="json")))
    return str(path)


def answers(log: Path) -> list[dict[str, Any]]:
    """The JSON objects that starts left in a log."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_ten_starts_at_once_are_one_run(files: Night, tmp_path: Path) -> None:
    """A suspended CronJob that is resumed: one start works, the others say who does and end with 5."""
    arguments = ["generate", job_file(files), "--json"]
    starts = [start(arguments, tmp_path / f"{number}.log", pause=1.0) for number in range(10)]
    for process in starts:
        process.join(90)
    told = [answer for number in range(10) for answer in answers(tmp_path / f"{number}.log")]
    # On a busy machine a start may come so late that nothing is left to do.
    ends = {"complete": 0, "held": 5, "nothing to do": 0}
    assert [process.exitcode for process in starts] == [ends[answer["status"]] for answer in told]
    assert [answer["status"] for answer in told].count("complete") == 1
    assert "held" in [answer["status"] for answer in told]
    assert sum(answer.get("shards_made", 0) for answer in told) == 4
    assert all("holds this output since" in answer["error"] for answer in told if answer["status"] == "held")
    assert len(list(files.out.rglob("receipts/*.json"))) == 4
    files.check()


def test_two_starts_that_wait_make_every_shard_once_though_the_first_is_killed(files: Night, tmp_path: Path) -> None:
    """SIGKILL of the holder: the other takes over at once, as it can see that the process is gone."""
    arguments, log = [*COMMAND, job_file(files)], tmp_path / "log"
    first = start(arguments, log, pause=0.5)
    receipts = files.out.glob("_hardset/runs/*/receipts/*.json")
    end = time.monotonic() + 60
    while not (made := len(list(receipts))):
        assert time.monotonic() < end
        receipts = files.out.glob("_hardset/runs/*/receipts/*.json")
        time.sleep(0.01)
    second = start(arguments, log)
    time.sleep(0.2)
    assert second.exitcode is None
    first.kill()
    second.join(20)
    assert second.exitcode == 0, log.read_text()
    assert answers(log)[-1]["shards_made"] <= 4 - made
    assert len(list(files.out.rglob("receipts/*.json"))) == 4
    files.check()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
@pytest.mark.parametrize("seed", [SEED, SEED + 1])
def test_thirty_nights_of_real_processes_end_as_a_clean_pass(kind: str, seed: int, tmp_path: Path) -> None:
    """Each night is begun one to three times, two at once among them: killed, told to stop, without a store, out of
    budget. The last night is left alone."""
    night = Night(tmp_path, kind)
    source, faults = Source.made(night, seed), 0
    for number in range(30):
        log = tmp_path / f"{number}.log"
        for _ in range(source.draw.randint(1, 3)):
            faults += _start_and_disturb(night, source.draw, log)
        if number % 4 == 3:
            _left_alone(night, log)
        source.change()
    _left_alone(night, tmp_path / "last.log")
    assert content(night) == clean_pass(night, tmp_path / "clean")
    night.check()
    assert faults >= 20


def _start_and_disturb(night: Night, draw: random.Random, log: Path) -> int:
    """One start and what befalls it; returns how many faults those were."""
    arguments = [*COMMAND, job_file(night)]
    how = draw.choice(["kill", "stop", "outage", "budget", "two", "nothing"])
    if how == "budget":
        arguments += ["--max-rows", str(3 * draw.randint(1, 6))]
    outage = 0.2 if how == "outage" else 0.0
    process = start(arguments, log, pause=0.02, outage=outage, seed=draw.randrange(10**6))
    other = start(arguments, log, pause=0.02) if how == "two" else None
    if how in ("kill", "stop"):
        time.sleep(draw.uniform(0.05, 0.8))
        assert process.pid is not None
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL if how == "kill" else signal.SIGTERM)
    for one in filter(None, (process, other)):
        one.join(120)
        assert one.exitcode is not None, "it hangs"
        allowed = {"kill": (0, -9), "stop": (0, 4, -15), "outage": (0, 1, 2), "budget": (0, 4)}.get(how, (0,))
        assert one.exitcode in allowed, (how, one.exitcode, log.read_text())
    return how != "nothing"


def _left_alone(night: Night, log: Path) -> None:
    process = start([*COMMAND, job_file(night)], log)
    process.join(120)
    assert process.exitcode == 0, log.read_text()
