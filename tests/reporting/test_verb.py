"""`hardset report`."""

from __future__ import annotations

import json

import pytest

from hardset.jobs.api.reports import write_report
from hardset.jobs.app import run
from hardset.pipeline.audit.gc import orphans
from hardset.pipeline.storage.folder import Folder
from tests.reporting.dataset import STRONG, Setting, build


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    path = tmp_path_factory.mktemp("verb") / "out"
    return path, build(str(path), Setting(recipes=(STRONG,), rows=40))


def test_the_report_of_the_newest_run_lies_in_the_output_and_beside_its_manifest(out, capsys):
    path, manifest = out
    assert run(["report", str(path), "--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    place, beside = path / "report.html", path / "_hardset" / "runs" / manifest.run_id / "report.html"
    assert said[0] == f"Report: {place}"
    assert json.loads(said[-1]) == {"status": "done", "report": str(place), "picture": None}
    assert place.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert place.read_bytes() == beside.read_bytes()
    assert orphans(Folder(str(path))) == [], "it is no garbage"


def test_files_go_where_the_user_says(out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(out[0]), "--to", "report.html", "--png", str(tmp_path / "new" / "picture.png")]) == 0
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["{empty}"], ["{out}", "--to", "{empty}/"]])
def test_what_cannot_be_done_is_said_in_a_sentence(out, tmp_path, capsys, arguments):
    filled = [argument.format(empty=tmp_path, out=out[0]) for argument in arguments]
    assert run(["report", *filled]) == 2
    said = capsys.readouterr().err
    assert said.startswith("hardset: ")
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


def test_any_store_will_do(out):
    manifest = build("memory://reports/out", Setting(recipes=(STRONG,), rows=20))
    name = write_report("memory://reports/out", png="memory://reports/picture.png")
    assert name == "memory://reports/out/report.html"
    assert Folder("memory://reports/out").exists(f"_hardset/runs/{manifest.run_id}/report.html")
