"""A dataset is data: its records run no code and open no file on their own word, and a job that is brought must fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust, UntrustedError
from hardset.pipeline.audit.trust import _vouched as vouched
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, latest_manifest
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from tests.support import document, hardset, job_of, last_json, make_here

ATTACK = {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "40/255"}


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 40 rows, made in this process."""
    out = tmp_path_factory.mktemp("trust") / "out"
    make_here(job_of(weights, out, source={"format": "digits", "limit": 40}, recipes=[ATTACK]))
    return out


@pytest.fixture
def forged(made: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Folder]:
    """A copy whose records hold another job, sealed as if hardset had written them."""

    def forge(change: Callable[[dict[str, Any]], None]) -> Folder:
        shutil.copytree(made, tmp_path / "forged")
        folder = Folder(str(tmp_path / "forged"))
        manifest = latest_manifest(folder)
        assert manifest is not None
        plan = Ledger(folder, manifest.run_id).plan()
        assert plan is not None
        for name, record in (("plan", plan), ("manifest", manifest)):
            change(record.job)
            folder.write(f"{RUNS}/{manifest.run_id}/{name}.json", sealed(record))
        return folder

    return forge


def row_of(folder: Folder) -> str:
    import pyarrow.dataset as ds

    found: str = ds.dataset(f"{folder.place}/data").to_table(columns=["row_id"])["row_id"][0].as_py()
    return found


@pytest.mark.parametrize(
    "network",
    [
        {"factory": "os:system", "arguments": {"command": "touch {ran}"}, "weights": None},
        {"factory": "subprocess:getoutput", "arguments": {"cmd": "touch {ran}"}, "weights": None},
        {"factory": "tests.audit.test_trust:never", "arguments": {}, "weights": None},
        {"factory": "\u00e9vil:never", "arguments": {}, "weights": None},
    ],
    ids=["os:system", "subprocess", "the user's own", "a name beyond ASCII"],
)
@pytest.mark.parametrize("place", ["model", "members", "transfer_to"])
def test_a_record_runs_no_code(
    forged: Callable[..., Folder], network: dict[str, Any], place: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    text = yaml.safe_load(yaml.safe_dump(network).replace("{ran}", str(ran)))

    def change(job: dict[str, Any]) -> None:
        if place == "model":
            job["model"].update(text)
        elif place == "members":
            job["model"]["members"] = [text]
        else:
            job["transfer_to"] = [{**text, "name": "other"}]

    folder = forged(change)
    done = hardset("verify", folder.url, "--all", "--against", "digits", "--json")
    assert any(f"name {network['factory']}" in note or network["factory"] in note for note in last_json(done)["notes"])
    again = hardset("replay", folder.url, row_of(folder))
    assert again.returncode == 2
    assert network["factory"] in again.stderr and "--job FILE" in again.stderr and "--trust-code" in again.stderr
    assert not ran.exists()


def never() -> None:
    raise AssertionError("a factory that a record names was called")


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job["recipes"][0].update(objective="os:system"),
        lambda job: job["source"].update(format="npz", path="https://elsewhere/x.npz", images="i", labels="l"),
        lambda job: job["model"].update(weights="https://elsewhere/w.safetensors"),
        lambda job: job["model"].update(weights="../../etc/w.safetensors"),
    ],
    ids=["objective", "source", "weights", "weights above"],
)
def test_a_record_opens_no_place_and_names_no_function(
    forged: Callable[..., Folder], change: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    folder = forged(change)
    opened: list[str] = []
    own = fsspec.core.url_to_fs

    def seen(url: str, **settings: Any) -> Any:
        opened.append(url)
        return own(url, **settings)

    monkeypatch.setattr(fsspec.core, "url_to_fs", seen)
    assert verify(folder, sample=None).rejudged == 0
    with pytest.raises(UntrustedError):
        replay(folder, row_of(folder))
    assert not [url for url in opened if "elsewhere" in url or "etc" in url]


def test_a_job_that_is_brought_is_used_and_its_places_count(
    made: Path, weights: dict[str, str], tmp_path: Path
) -> None:
    moved = tmp_path / "moved.safetensors"
    shutil.copy(weights["victim"], moved)
    changes = {"source": {"format": "digits", "limit": 40}, "recipes": [ATTACK], "run": {"actors": 5, "batch": 64}}
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(document(weights | {"victim": str(moved)}, tmp_path / "elsewhere", **changes)))
    done = hardset("verify", made, "--all", "--job", file, "--json")
    found = last_json(done)
    assert (done.returncode, found["rejudged"], found["notes"]) == (0, 40, [])
    assert hardset("replay", made, row_of(Folder(str(made))), "--job", file).returncode == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 8}, "seed is 8, and 7 in the records"),
        ({"run": {"batch": 32}}, "run.batch is 32, and 64 in the records"),
        ({"recipes": [{**ATTACK, "objective": "os:system"}]}, None),
    ],
)
def test_a_job_that_would_make_other_rows_is_refused(
    made: Path, weights: dict[str, str], changes: dict[str, Any], told: str | None
) -> None:
    settings = {"source": {"format": "digits", "limit": 40}, "recipes": [ATTACK]} | changes
    trust = Trust(job_of(weights, "elsewhere", **settings))
    if told is None:  # the records' own recipe counts, which names no code
        assert verify(Folder(str(made)), sample=3, trust=trust).faults == []
        return
    with pytest.raises(JobError, match=told):
        verify(Folder(str(made)), sample=3, trust=trust)


def test_other_gates_for_a_generator_make_no_other_rows(weights: dict[str, str], tmp_path: Path) -> None:
    sample = {"kind": "sample", "generator": {"weights": weights["generator"]}, "per_class": 2}
    gates, unmeasured = {"agreement": 0, "coverage": 0.01}, "unmeasured"
    recorded, gated, without = (
        job_of(weights, str(tmp_path), recipes=[sample | {"admit": admit}])
        for admit in ({"agreement": 0, "coverage": 0}, gates, unmeasured)
    )
    folder = Folder(str(tmp_path))
    assert vouched(recorded, gated, folder).recipes == gated.recipes
    with pytest.raises(JobError, match=r"has no recipe like recipes\.0"):
        vouched(recorded, without, folder)


def test_weights_that_are_others_are_refused(made: Path, weights: dict[str, str], tmp_path: Path) -> None:
    import safetensors.torch

    other = tmp_path / "other.safetensors"
    state = safetensors.torch.load_file(weights["victim"])
    safetensors.torch.save_file({name: value * 1.5 for name, value in state.items()}, other)
    job = job_of(
        weights | {"victim": str(other)}, "elsewhere", source={"format": "digits", "limit": 40}, recipes=[ATTACK]
    )
    with pytest.raises(Exception, match="changed since the run was planned"):
        verify(Folder(str(made)), sample=3, trust=Trust(job))


def test_hardsets_own_networks_and_the_datasets_own_files_need_no_word(weights: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(weights["victim"], out / "victim.safetensors")
    own = weights | {"victim": str(out / "victim.safetensors")}
    make_here(job_of(own, out, source={"format": "digits", "limit": 20}, recipes=[ATTACK]))
    found = verify(Folder(str(out)), sample=None)
    assert (found.faults, found.notes, found.rejudged) == ([], [], 20)
    np.testing.assert_equal(replay(Folder(str(out)), row_of(Folder(str(out)))).equal, True)
