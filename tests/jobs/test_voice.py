"""What a command says while it works: sentences, or lines that a log collector parses; never both."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hardset.jobs.terminal.progress import LINE_SECONDS, showing
from hardset.jobs.terminal.voice import LOGGER, LogFormat, format_of, speaking
from hardset.pipeline.run.events import RunEvents
from hardset.pipeline.run.generation import RunProgress
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure
from tests.dataset.examples import RUN, commit_shard, plan_of, shard_of
from tests.support import hardset

WriteJob = Callable[..., Path]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def progress(done: int, *, rows: int = 30, failures: int = 0) -> RunProgress:
    made = Counts(rows_in=rows, rows_out=rows, attacked=rows, success=rows // 2, quarantined=1)
    return RunProgress(done, 10, made, failures)


def test_json_lines_carry_time_level_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking(LogFormat.JSON) as voice:
        voice.say("läuft", event="progress", rows=3)
        voice.warn("a\nb")
        logging.getLogger("hardset.pipeline.deep.inside").info("of the library")
        logging.getLogger("hardset.pipeline").debug("too much")
        try:
            raise ValueError("x")  # noqa: TRY301
        except ValueError:
            logging.getLogger("hardset.jobs").exception("broke")
    out, err = capsys.readouterr()
    said, warned, library, broke = lines(err)
    assert out == ""
    assert (said["level"], said["event"], said["message"], said["rows"]) == ("info", "progress", "läuft", 3)
    assert datetime.fromisoformat(said["time"]).utcoffset() is not None
    assert (warned["level"], warned["event"], warned["message"]) == ("warning", "warning", "a\nb")
    assert (library["event"], library["logger"]) == ("log", "hardset.pipeline.deep.inside")
    assert broke["level"] == "error" and "ValueError: x" in broke["traceback"]


def test_no_handler_stays_behind_and_text_adds_none(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger(LOGGER).handlers), logging.getLogger(LOGGER).level
    for log_format in LogFormat:
        with speaking(log_format):
            pass
        assert (list(logging.getLogger(LOGGER).handlers), logging.getLogger(LOGGER).level) == before
    with speaking(LogFormat.TEXT) as voice:
        logging.getLogger("hardset.pipeline").info("of the library")
        voice.say("It goes well", event="progress")
        voice.warn("It does not")
        voice.note("Ending", "stopping")
    assert capsys.readouterr() == ("It goes well\nWarning: It does not\n", "Ending\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["generate", "--log-format", "json"], LogFormat.JSON),
        (["generate", "--log-format=json", "--json"], LogFormat.JSON),
        (["generate", "json", "--log-format"], LogFormat.TEXT),
        (["generate", "--log-format", "text", "--json"], LogFormat.TEXT),
    ],
)
def test_the_format_is_read_off_a_command_line_that_need_not_parse(arguments: list[str], expected: LogFormat) -> None:
    assert format_of(arguments) is expected


def test_progress_is_a_line_a_minute_and_the_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("hardset.jobs.terminal.progress.time.monotonic", lambda: clock[0])
    with speaking(LogFormat.JSON) as voice, showing(voice, LogFormat.JSON) as show:
        for seconds, done in ((0, 4), (LINE_SECONDS / 2, 5), (LINE_SECONDS, 6), (LINE_SECONDS + 1, 7), (90, 10)):
            clock[0] = 100.0 + seconds
            show(progress(done))
    told = lines(capsys.readouterr().err)
    assert [line["shards_done"] for line in told] == [4, 6, 10]
    # Two shards in a minute, the four found at the start not among them; four are left.
    assert (told[1]["seconds_left"], told[1]["rows_per_s"]) == (2 * LINE_SECONDS, 0.5)
    assert told[2]["seconds_left"] is None


def test_every_shard_is_an_event_with_its_run_rows_and_rates(tmp_path: Path) -> None:
    from hardset.pipeline.dataset.records.ledger import Ledger
    from hardset.pipeline.storage.folder import Folder

    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("hardset.pipeline")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        events = RunEvents(plan_of((shard_of(0), shard_of(1))))
        events.started(2)
        events.ended(commit_shard(Ledger(Folder(str(tmp_path)), RUN), shard_of(0), lost=1, attempt=2))
        events.ended(Failure(index=1, key="k", attempts=3, error="boom"))
        events.finished(0)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    told = [record.__dict__["fields"] for record in records]
    assert [fields["event"] for fields in told] == ["run_started", "shard_committed", "shard_failed", "work_ended"]
    assert {(fields["run_id"], fields["job"]) for fields in told} == {(RUN, "nightly")}
    shard = told[1]
    assert (shard["shard"], shard["rows"], shard["quarantined"], shard["attempt"]) == (0, 2, 1, 2)
    assert (shard["seconds"], shard["rows_per_s"]) == (1.0, 2.0)
    assert (told[3]["rows"], told[3]["shards_left"]) == (2, 0)
    assert records[2].levelno == logging.ERROR and told[2]["error"] == "boom"


def test_an_error_is_a_json_line_too_where_logs_are(tmp_path: Path) -> None:
    done = hardset("generate", tmp_path / "none.yaml", "--log-format", "json", "--json")
    assert done.returncode == 2
    (told,) = lines(done.stderr)
    assert (told["level"], told["event"], told["exit_code"]) == ("error", "failed", 2)
    assert "no such job file" in told["message"]
    assert json.loads(done.stdout)["exit_code"] == 2
