"""Verbs that look at one run take any finished one by its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest
from tests.support import hardset, job_of, last_json, make_here

FLIP = {"kind": "augment", "ops": [{"name": "hflip", "p": 0.5}]}


@pytest.fixture(scope="module")
def nights(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Manifest]:
    """Two runs in one output, of 20 and 30 rows."""
    out = tmp_path_factory.mktemp("nights") / "out"
    first, second = (
        make_here(job_of(weights, out, recipes=[FLIP], source={"format": "digits", "limit": rows})) for rows in (20, 30)
    )
    return out, first, second


def test_a_run_is_chosen_by_the_start_of_its_id(nights: tuple[Path, Manifest, Manifest]) -> None:
    out, first, second = nights
    folder = Folder(str(out))
    assert chosen_manifest(folder, None) == second
    for manifest in (first, second):
        assert chosen_manifest(folder, manifest.run_id) == chosen_manifest(folder, manifest.run_id[:8]) == manifest
    for unknown in ("", "zzz"):
        with pytest.raises(JobError, match=rf"--run: '{unknown}': no finished run .*{first.run_id[:8]}"):
            chosen_manifest(folder, unknown)


def test_verify_audits_the_chosen_run(nights: tuple[Path, Manifest, Manifest]) -> None:
    out, first, second = nights
    assert verify(Folder(str(out)), sample=0).rows == second.totals.rows_out == 30
    done = hardset("verify", out, "--sample", 0, "--run", first.run_id[:8], "--json")
    assert (done.returncode, last_json(done)["rows"]) == (0, 20)


def test_show_report_and_replay_look_at_the_chosen_run(nights: tuple[Path, Manifest, Manifest], tmp_path: Path) -> None:
    out, first, _ = nights
    shown = last_json(hardset("show", out, "--run", first.run_id, "--json"))
    assert (shown["run_id"], shown["of"]) == (first.run_id, 20)
    row = shown["rows"][0]["row_id"]
    assert hardset("replay", out, row, "--trust-code", "--run", first.run_id).returncode == 0
    html = tmp_path / "report.html"
    assert hardset("report", out, "--run", first.run_id, "--to", html).returncode == 0
    assert first.run_id in html.read_text()


def test_diff_holds_two_runs_of_one_output_against_each_other(nights: tuple[Path, Manifest, Manifest]) -> None:
    out, first, second = nights
    found = last_json(hardset("diff", out, out, "--run-a", first.run_id, "--json"))
    assert found["rows"] == {"added": 10, "gone": 0, "changed": 0, "judged": 0, "same": 20}
    found = last_json(hardset("diff", out, out, "--run-a", second.run_id, "--run-b", first.run_id[:8], "--json"))
    assert (found["status"], found["rows"]["gone"]) == ("different", 10)


def test_an_unknown_run_is_a_bad_argument(nights: tuple[Path, Manifest, Manifest]) -> None:
    for verb in (["verify"], ["show"], ["report"], ["replay", "x"]):
        done = hardset(verb[0], nights[0], *verb[1:], "--run", "nope")
        assert done.returncode == 2
        assert "no finished run has that id" in done.stderr
