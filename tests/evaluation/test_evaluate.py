"""The figures of an evaluation are those of other libraries on the same predictions; a second start does what lacks."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import yaml
from sklearn.metrics import classification_report, confusion_matrix, jaccard_score

from hardset.pipeline.evaluation.evaluate import evaluate
from hardset.pipeline.evaluation.evaluation_plan import make_plan
from hardset.pipeline.evaluation.gathered import clean_rows
from hardset.pipeline.evaluation.parts import PARTS, PartStore
from hardset.pipeline.evaluation.stored import RECORD, ROWS, read_evaluation
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from tests.evaluation.conftest import ATTACKS, document, job_of
from tests.support import hardset, last_json


@pytest.fixture
def copy(finished, models, tmp_path):
    """A copy of the finished evaluation that may be changed, and a job that writes there."""
    shutil.copytree(finished[0], tmp_path / "out")
    return tmp_path / "out", job_of(models, tmp_path / "out")


def table(out: Path):
    return pq.read_table(out / ROWS).to_pandas()


def test_there_is_a_row_for_every_model_attack_budget_and_source_row(finished):
    rows = table(finished[0])
    assert len(rows) == 2 * (2 + 3) * 50
    assert not rows.duplicated(["model", "attack", "eps", "source_key"]).any()
    assert rows.groupby(["model", "attack", "eps"]).size().eq(50).all()


def test_shares_are_those_of_the_rows(finished):
    out, _, outcome = finished
    rows = table(out)
    for model in outcome.record.models:
        mine = rows[rows.model == model.name]
        assert model.clean.rows == (mine.groupby("source_key").first().eval("label == clean_pred")).sum()
        for attack in model.attacks:
            for point in attack.points:
                here = mine[(mine.attack == attack.label) & (mine.eps == float(Fraction(point.eps)))]
                both = (here.clean_pred == here.label) & (here.pred == here.label)
                assert (point.robust.rows, point.robust.of) == (both.sum(), 50)
                assert (both == here.robust).all()
                assert point.gradients == here.gradients.sum()
        worst = mine[mine.eps <= 38 / 255 + 1e-9].groupby("source_key").robust.all()
        assert model.robust.rows == worst.sum()
        assert [point.eps for point in model.threats[0].curve] == ["0", "8/255", "38/255", "1"]
        shares = [point.robust.rows for point in model.threats[0].curve]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] == model.clean.rows
    assert outcome.record.model("trained").clean.value > 0.9 > outcome.record.model("trained").robust.value


def test_precision_recall_f1_and_confusion_are_scikit_learns(finished):
    out, _, outcome = finished
    rows = table(out)
    for model in outcome.record.models:
        mine = rows[(rows.model == model.name) & np.isclose(rows.eps, 38 / 255)]
        wide = mine.pivot(index="source_index", columns="attack")
        label, clean = wide.label.fgsm, wide.clean_pred.fgsm
        after = clean.where((label != clean) | wide.robust.fgsm, wide.pred.fgsm)
        after = after.where((label != clean) | ~wide.robust.fgsm | wide.robust.pgd, wide.pred.pgd)
        for pred, cells, prefix in (
            (clean, model.confusion_clean, "clean"),
            (after, model.confusion_attacked, "attacked"),
        ):
            told = classification_report(label, pred, labels=range(10), output_dict=True, zero_division=0)
            for one in model.classes:
                expected = told[str(one.label)]
                assert getattr(one, f"{prefix}_precision") == expected["precision"]
                assert getattr(one, f"{prefix}_recall") == expected["recall"]
                assert getattr(one, f"{prefix}_f1") == expected["f1-score"]
                assert one.support == expected["support"]
            matrix = np.zeros((10, 10), int)
            for cell in cells:
                matrix[cell.label, cell.pred] = cell.rows
            assert (matrix == confusion_matrix(label, pred, labels=range(10))).all()


def test_agreement_is_scikit_learns(finished):
    out, _, outcome = finished
    rows = table(out)
    mine = rows[(rows.model == "trained") & np.isclose(rows.eps, 38 / 255) & (rows.label == rows.clean_pred)]
    broken = ~mine.pivot(index="source_index", columns="attack", values="robust").astype(bool)
    (pair,) = outcome.record.model("trained").agreement
    assert (pair.first, pair.second) == ("fgsm", "pgd")
    assert pair.jaccard == jaccard_score(broken.fgsm, broken.pgd)
    assert pair.both + pair.only_first == broken.fgsm.sum()


def test_transfer_is_the_other_model_on_the_stored_pixels(finished, models):
    out, job, outcome = finished
    plan, store = make_plan(job), PartStore(Folder(str(out)))
    target = small_cnn()
    target.load_state_dict(safetensors.torch.load_file(models["trained"]))
    target.eval()
    right = 0
    for number, clean in enumerate(clean_rows(job, plan)):
        (part,) = (p for p in plan.parts if (p.kind, p.model, p.attack, p.range) == ("attack", 1, 1, number))
        stored = store.pixels(part.key, clean.pixels.shape)
        assert 0 < np.abs(stored.astype(int) - clean.pixels).max() <= 38
        with torch.no_grad():
            before, after = (
                target(torch.from_numpy(p).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
                for p in (np.array(clean.pixels), np.array(stored))
            )
        right += ((before == clean.labels) & (after == clean.labels)).sum()
    (cell,) = (c for c in outcome.record.transfer if (c.source, c.target, c.attack) == ("untrained", "trained", "pgd"))
    assert cell.right.rows == right
    assert len(outcome.record.transfer) == 4


def test_likeness_is_the_mean_of_all_pairs(finished):
    out, job, outcome = finished
    plan, store = make_plan(job), PartStore(Folder(str(out)))
    rows = table(out)
    right = rows[(rows.model == "trained") & (rows.attack == "pgd") & (rows.eps == 1)].eval("label == clean_pred")
    change, labels = [], []
    for number, clean in enumerate(clean_rows(job, plan)):
        (part,) = (p for p in plan.parts if (p.kind, p.model, p.attack, p.range) == ("attack", 0, 1, number))
        change.append((store.pixels(part.key, clean.pixels.shape).astype(float) - clean.pixels).reshape(len(clean), -1))
        labels.append(clean.labels)
    unit = np.concatenate(change)[right.to_numpy()]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.concatenate(labels)[right.to_numpy()]

    def pairs(vectors):
        return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean()

    found = outcome.record.model("trained").likeness[1]
    assert found.overall == pytest.approx(pairs(unit))
    counts = np.bincount(labels)
    by_class = [pairs(unit[labels == label]) for label in range(10)]
    assert found.within_class == pytest.approx(np.average(by_class, weights=counts))
    assert found.within_class > found.overall


def test_a_second_start_has_nothing_to_do(copy):
    out, job = copy
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = evaluate(job)
    assert (again.status, again.made) == ("nothing to do", 0)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert again.record == read_evaluation(Folder(str(out)))


def test_a_start_makes_what_is_missing_and_gives_the_same_rows(copy):
    out, job = copy
    before = (out / ROWS).read_bytes()
    (out / RECORD).unlink()
    for part in sorted((out / PARTS).iterdir())[:2]:
        part.unlink()
    again = evaluate(job)
    assert (again.status, again.made) == ("complete", 2)
    assert (out / ROWS).read_bytes() == before


def test_a_further_attack_is_all_that_is_made(copy, models):
    out, _ = copy
    earlier = read_evaluation(Folder(str(out)))
    more = evaluate(job_of(models, out, attacks=[*ATTACKS, {"name": "square", "eps": "38/255", "steps": 3}]))
    assert more.made == 2 * 2 * 2, "two models and two ranges, attacked and judged by the other model"
    assert more.record.evaluation_id != earlier.evaluation_id
    assert more.record.model("trained").attacks[:2] == earlier.model("trained").attacks


def test_a_damaged_part_is_named(copy):
    out, job = copy
    (out / RECORD).unlink()
    part = sorted((out / PARTS).iterdir())[0]
    part.write_bytes(part.read_bytes()[:-200])
    with pytest.raises(RunError, match=rf"{part.stem}.parquet cannot be used .*; remove it and start again"):
        evaluate(job)
    part.unlink()
    assert evaluate(job).made == 1


def test_a_changed_record_is_not_believed(copy):
    out, job = copy
    text = (out / RECORD).read_text()
    (out / RECORD).write_text(text.replace('"name":"digits"', '"name":"digit"', 1))
    with pytest.raises(RunError, match="was changed after it was written"):
        evaluate(job)


def write(tmp_path: Path, content: dict) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_gates_decide_the_exit_code(finished, models, tmp_path):
    out, _, outcome = finished
    path = write(tmp_path, document(models, out))
    passed = hardset("evaluate", path, "--fail-under", "trained:clean=90%", "--json")
    assert (passed.returncode, last_json(passed)["failed"]) == (0, [])
    assert "trained: clean" in passed.stdout
    assert "worst of fgsm, pgd (n = 50)" in passed.stdout
    failed = hardset("evaluate", path, "--fail-under", "trained:robust=0.99", "--json")
    value = 100 * outcome.record.model("trained").robust.value
    assert failed.returncode == 1
    assert last_json(failed)["failed"] == [f"trained:robust is {value:.1f} %, below the 99.0 % that is asked for"]
    assert hardset("evaluate", path, "--against", out).returncode == 0
    assert hardset("evaluate", path, "--against", out / RECORD).returncode == 0
    better = json.loads((out / RECORD).read_text())
    better.pop("seal")
    better["models"][0]["clean"]["rows"] = 50
    (tmp_path / "baseline.json").write_text(json.dumps(better))
    fallen = hardset("evaluate", path, "--against", tmp_path / "baseline.json", "--tolerance", "0")
    assert (fallen.returncode, "FAILED: trained:clean is" in fallen.stdout) == (1, True)


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "told"),
    [
        ({}, ["--fail-under", "robust=0.4"], 2, "there is no figure robust; wants one of: trained:clean"),
        ({}, ["--against", "nowhere"], 2, "--against nowhere: no evaluation is there"),
        ({"classes": 9}, [], 2, "classes: got 9, but digits has 10 classes; they must be the same"),
        ({"source": {"format": "digits", "splits": ["validation"]}}, [], 2, "no split 'validation'"),
        ({"models": [{"name": "a", "factory": "no.module:f"}]}, [], 2, "models.0.factory: "),
        (
            {"models": [{"name": "a", "factory": "hardset.pipeline.models.zoo:cifar_resnet20"}]},
            [],
            2,
            "models.0.factory: ",
        ),
        (
            {
                "models": [
                    {"name": "a", "factory": "hardset.pipeline.models.zoo:small_cnn", "weights": "gone.safetensors"}
                ]
            },
            [],
            2,
            "models.0.weights",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(models, tmp_path, changes, arguments, code, told):
    path = write(tmp_path, document(models, tmp_path / "out", **changes))
    done = hardset("evaluate", path, *arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ray_finds_the_same(finished, models, tmp_path):
    out, _, _ = finished
    found = evaluate(job_of(models, tmp_path / "out", run={"batch": 64, "actors": 2}))
    assert found.status == "complete"
    assert (tmp_path / "out" / ROWS).read_bytes() == (out / ROWS).read_bytes()
    names = {path.name for path in (out / PARTS).iterdir()}
    assert {path.name for path in (tmp_path / "out" / PARTS).iterdir()} == names
