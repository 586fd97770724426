"""`generate` ends with what one does next: the newest run's report where everybody looks, and two lines to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.jobs.api.reports import write_report
from hardset.jobs.telling import next_steps
from hardset.jobs.telling.generate import make
from hardset.pipeline.audit.gc import look
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.ledger import manifests
from hardset.pipeline.storage.folder import Folder
from tests.nights.conftest import Night


def test_each_night_has_its_report_and_the_output_that_of_the_newest(
    files: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    newest, folder = files.out / "report.html", Folder(str(files.out))
    first = make(files.job())
    assert first.report == str(newest)
    said = capsys.readouterr().out
    assert said.splitlines()[-3:] == [
        f"Report: {newest}",
        f"Look:   hardset show {files.out}",
        f'Load:   hardset.open_dataset("{files.out}")',
    ]
    before = newest.read_text(encoding="utf-8")
    files.put("c", 3)
    make(files.job())
    after = newest.read_text(encoding="utf-8")
    one, two = (files.out / "_hardset" / "runs" / run.run_id / "report.html" for run in manifests(folder))
    assert (one.read_text(encoding="utf-8"), two.read_text(encoding="utf-8")) == (before, after)
    assert before != after
    place = write_report(str(files.out), run=manifests(folder)[0].run_id)
    assert Path(place) == one
    assert newest.read_text(encoding="utf-8") == after, "the report of an older run leaves that of the newest"
    assert look(folder).orphans == look(folder).foreign == ()
    assert verify(folder, sample=None).faults == []


def test_with_nothing_to_do_the_report_is_named_and_made_where_it_is_missing(files: Night) -> None:
    newest = files.out / "report.html"
    assert make(files.job(), report=False).report is None
    assert not newest.exists()
    assert make(files.job()).report == str(newest)
    written = newest.stat().st_mtime_ns
    again = make(files.job())
    assert (again.status, again.report, newest.stat().st_mtime_ns) == ("nothing to do", str(newest), written)


def test_a_report_that_cannot_be_written_is_a_warning(
    files: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(next_steps, "write_report", broken)
    ended = make(files.job())
    assert (ended.status, ended.exit_code, ended.report) == ("complete", 0, None)
    said = capsys.readouterr().out
    assert "Warning: the report was not written: ZeroDivisionError: by zero; `hardset report" in said
    assert "Report:" not in said
