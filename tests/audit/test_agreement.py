"""Records that contradict each other, each sealed as if hardset had written it: the forger changed some and not all."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pydantic import ValidationError

from hardset.pipeline.audit.recorded_job import recorded_op
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.augment.table import OPERATIONS, operation_text
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, latest_manifest
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.recipe_texts import agrees
from hardset.schemas.job.recipes import Attack
from hardset.schemas.records.run import Manifest, Plan
from tests.support import hardset, job_of, make_here

RECIPES: list[dict[str, Any]] = [
    {"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "40/255"},
    {"kind": "augment", "ops": [{"name": "hflip"}]},
]


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("agreement") / "out"
    make_here(job_of(weights, out, source={"format": "digits", "limit": 20}, recipes=RECIPES))
    assert verify(Folder(str(out)), sample=0).faults == []
    return out


def both(change: Callable[[dict[str, Any]], None]) -> Callable[[Plan, Manifest], None]:
    def forge(plan: Plan, manifest: Manifest) -> None:
        change(plan.job)
        change(manifest.job)

    return forge


def first_text(manifest: Manifest) -> dict[str, Any]:
    return next(text for text in manifest.recipes.values() if text["kind"] == "attack")


def exchange_keys(plan: Plan, manifest: Manifest) -> None:
    first, second = plan.shards
    object.__setattr__(
        plan, "shards", (first.model_copy(update={"key": second.key}), second.model_copy(update={"key": first.key}))
    )


@pytest.mark.parametrize(
    ("forge", "fault"),
    [
        (lambda plan, manifest: manifest.job.update(seed=8), "plan.json: its job is not that of the manifest"),
        (both(lambda job: job.update(seed=8)), "its key does not follow from the job"),
        (
            both(lambda job: job["recipes"][0].update(eps="8/255")),
            "recipes.0 of its job is no recipe that",
        ),
        (both(lambda job: job["recipes"][1]["ops"][0].update(p=0.25)), "recipes.1 of its job is no recipe"),
        (lambda plan, manifest: first_text(manifest).update(steps=99), "recipes.0 of its job is no recipe"),
        (both(lambda job: job["output"].update(keep="success")), "its key does not follow from the job"),
        (both(lambda job: job["run"].update(batch=7)), "its key does not follow from the job"),
        (lambda plan, manifest: plan.models.update(victim="0" * 64), "recipes.0 of its job is no recipe"),
        (exchange_keys, "its key does not follow from the job"),
    ],
)
def test_a_contradiction_is_named_by_every_verify(
    made: Path, tmp_path: Path, forge: Callable[[Plan, Manifest], None], fault: str
) -> None:
    folder = forged(made, tmp_path, forge)
    assert any(fault in line for line in verify(folder, sample=0).faults)


def forged(made: Path, tmp_path: Path, forge: Callable[[Plan, Manifest], None]) -> Folder:
    shutil.copytree(made, tmp_path / "out")
    folder = Folder(str(tmp_path / "out"))
    manifest = latest_manifest(folder)
    assert manifest is not None
    plan = Ledger(folder, manifest.run_id).plan()
    assert plan is not None
    forge(plan, manifest)
    for name, record in (("plan", plan), ("manifest", manifest)):
        folder.write(f"{RUNS}/{manifest.run_id}/{name}.json", sealed(record))
    return folder


def test_replay_imports_nothing_that_only_the_manifest_names(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the dataset is the one the command runs in, and so on the import path."""
    folder = forged(made, tmp_path, lambda plan, manifest: first_text(manifest).update(name="evil_module:attack"))
    (Path(folder.url) / "evil_module.py").write_text("raise SystemExit('the dataset ran code')")
    table = ds.dataset(f"{folder.url}/data").to_table(columns=["row_id", "kind"])
    row = next(one["row_id"] for one in table.to_pylist() if one["kind"] == "adversarial")
    monkeypatch.chdir(folder.url)
    for line in (["replay", ".", row, "--trust-code"], ["verify", ".", "--sample", "0"], ["explain", ".", row]):
        done = hardset(*line)
        assert "ran code" not in done.stdout + done.stderr
    assert "evil_module" not in sys.modules
    assert hardset("replay", ".", row, "--trust-code").returncode == 1


def test_a_text_may_hold_more_than_is_declared_and_not_less() -> None:
    declared = {"name": "pgd", "ops": [{"name": "hflip", "p": 0.5}], "eps": None}
    assert agrees(declared, {**declared, "code": 2, "ops": [{"name": "hflip", "p": 0.5, "code": 3}]})
    assert not agrees(declared, {"name": "pgd", "ops": [{"name": "hflip", "p": 0.5}]})
    assert not agrees(declared, {**declared, "ops": []})


def test_settings_added_later_are_no_part_of_a_text_at_their_default() -> None:
    """As the crop of the demo: its text is that of the time before it took a fill."""
    text = {"ops": [{"name": "crop", "p": 1.0, "padding": 1}]}
    assert agrees({"ops": [{"name": "crop", "p": 1.0, "padding": 1, "fill": 0}]}, text)
    assert not agrees({"ops": [{"name": "crop", "p": 1.0, "padding": 1, "fill": "edge"}]}, text)
    assert not agrees({"ops": [{"name": "crop", "p": 1.0, "padding": 1, "crop": 0}]}, text)
    assert not agrees({"ops": [{"name": "acme:crop", "p": 1.0, "padding": 1, "fill": 0}]}, text)


def test_every_operation_agrees_with_its_own_text() -> None:
    seen = 0
    for name, one in OPERATIONS.items():
        try:
            spec = one.settings.model_validate({"name": name})
        except ValidationError:  # it has settings without a default
            continue
        seen += 1
        assert agrees(spec.model_dump(mode="json"), operation_text(spec)), name
    assert seen > 25


@pytest.mark.parametrize("name", ["pgd", "acme.attacks:my_chain_saw"])
def test_records_that_say_nothing_of_a_chain_have_the_op_without_one(name: str) -> None:
    single, several = Attack(name=name, eps="8/255"), Attack(name=name, eps=["4/255", "8/255"], chain=True)
    assert recorded_op({"name": name}, single) == recorded_op({"name": name}, several) == f"{name}_linf"
    assert recorded_op({"name": "pgd", "chain": True}, Attack(name="pgd", eps=["1/255", "2/255"], chain=True)) == (
        "pgd_chain_linf"
    )
