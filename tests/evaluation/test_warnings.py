"""Every warning fires on a model that has the fault, and on no model that has not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from benchmarks.doubts.training import adversarially_trained, digits, fitted, saved

from hardset.pipeline.evaluation import doubts
from hardset.pipeline.evaluation.evaluate import evaluate
from hardset.pipeline.evaluation.training_data import shard_rows
from hardset.pipeline.statistics.shares import share
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import Threat, parse_evaluation
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.evaluation import Cell, Evaluation
from hardset.schemas.records.run import Image
from tests.evaluation.conftest import document
from tests.support import document as job_document
from tests.support import hardset, make_here

FACTORY = "hardset.pipeline.models.zoo:small_cnn"
SUITE = [{"name": "fgsm"}, {"name": "pgd", "steps": 20}]


def evaluated(out: Path, models: list[dict[str, Any]], **changes: Any) -> Evaluation:
    changes = {"models": models, "corruptions": [], "shifts": [], "output": {"path": str(out)}} | changes
    record = evaluate(parse_evaluation(document({}, out, **changes))).record
    assert record is not None
    return record


def kinds(record: Evaluation, model: str) -> set[str]:
    """The warnings of a model; each ends in a remedy."""
    mine = [finding for finding in record.warnings if finding.model == model]
    assert all("; " in finding.text for finding in mine)
    return {finding.kind for finding in mine}


# The functions alone, at their thresholds


def test_static_shard_at_its_threshold():
    assert doubts.static_shard(share(31, 100), share(0, 100), "set") is not None
    assert doubts.static_shard(share(30, 100), share(0, 100), "set") is None
    assert doubts.static_shard(share(90, 100), share(44, 100), "set") is not None
    assert doubts.static_shard(share(90, 100), share(45, 100), "set") is None
    assert doubts.static_shard(share(0, 0), share(0, 100), "set") is None
    assert doubts.static_shard(share(2, 4), share(0, 4), "set") is None, "two rows of four are chance"


def test_fgsm_gap_at_its_thresholds():
    assert doubts.fgsm_gap(share(31, 100), share(15, 100), share(61, 100), "pgd") is not None
    assert doubts.fgsm_gap(share(31, 100), share(16, 100), share(61, 100), "pgd") is None
    assert doubts.fgsm_gap(share(10, 100), share(0, 100), share(10, 100), "pgd") is None
    assert doubts.fgsm_gap(share(31, 100), share(0, 100), share(62, 100), "pgd") is None, "undefended models fall"
    assert doubts.fgsm_gap(share(3, 10), share(1, 10), share(5, 10), "pgd") is None, "two rows of ten are chance"


def test_held_out_family_at_its_thresholds():
    assert doubts.held_out_family("shift", 0.09, 0.40) is not None
    assert doubts.held_out_family("shift", 0.10, 0.40) is None
    assert doubts.held_out_family("shift", 0.0, 0.10) is None
    assert "-2.0 points" in (doubts.held_out_family("shift", -0.02, 0.40) or "")


def test_robust_overfitting_at_its_threshold():
    assert doubts.robust_overfitting(share(560, 1000), share(500, 1000)) is not None
    assert doubts.robust_overfitting(share(550, 1000), share(510, 1000)) is None
    assert doubts.robust_overfitting(share(56, 100), share(50, 100)) is None, "six rows of a hundred are chance"


def test_not_vanishing_at_its_threshold():
    assert doubts.not_vanishing(share(3, 100), "1") is not None
    assert doubts.not_vanishing(share(2, 100), "1") is None


def test_black_box_at_its_thresholds():
    assert doubts.black_box(share(497, 1000), share(503, 1000), (6, 0), "pgd") is not None
    assert doubts.black_box(share(496, 1000), share(500, 1000), (4, 0), "pgd") is None
    assert doubts.black_box(share(48, 100), share(50, 100), (2, 0), "pgd") is None, "two rows are no evidence"
    assert doubts.black_box(share(47, 100), share(50, 100), (8, 5), "pgd") is None, "nor are 8 against 5"
    assert doubts.black_box(share(90, 100), share(10, 100), (0, 80), "pgd") is None


def test_zero_gradients_at_their_threshold():
    assert doubts.zero_gradients(2, 100, "pgd") is not None
    assert doubts.zero_gradients(1, 100, "pgd") is None
    assert doubts.zero_gradients(0, 0, "pgd") is None


def test_at_chance_is_measured_by_the_models_own_predictions():
    def cells(*counts: tuple[int, int, int]) -> list[Cell]:
        return [Cell(label=label, pred=pred, rows=rows) for label, pred, rows in counts]

    assert doubts.at_chance(share(50, 100), cells((0, 0, 50), (1, 0, 50))) is not None, "one class for all"
    assert doubts.at_chance(share(90, 100), cells((0, 0, 90), (1, 0, 10))) is not None, "the frequent class for all"
    assert doubts.at_chance(share(95, 100), cells((0, 0, 89), (1, 0, 4), (1, 1, 6), (0, 1, 1))) is None
    assert doubts.at_chance(share(30, 100), cells((0, 0, 30), (0, 1, 70))) is None, "rows of one class tell nothing"
    assert doubts.at_chance(share(30, 100), cells((0, 0, 30), (0, 2, 20), (1, 3, 50))) is None, "lucky in one class"
    few = doubts.at_chance(share(2, 4), cells((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 0, 1)))
    assert few is not None and few.endswith("or take more than 4 rows")


def test_by_chance_at_its_threshold():
    assert doubts.by_chance(2, 100) is not None
    assert doubts.by_chance(1, 100) is None
    assert doubts.by_chance(0, 0) is None


def test_a_difference_counts_where_few_rows_do_not_explain_it():
    """Newcombe's table II: 56 of 70 and 48 of 80 differ by 0.2, from 0.0524 to 0.3339."""
    first, second = share(56, 70), share(48, 80)
    assert math.hypot(first.value - first.low, second.high - second.value) == pytest.approx(0.2 - 0.0524, abs=5e-5)
    assert doubts.above(first, second) and not doubts.above(second, first)
    assert not doubts.above(share(9, 10), share(3, 4))


# Real models


def test_masked_gradients_are_told_and_an_ordinary_model_is_let_pass(models, tmp_path):
    plain = {"name": "plain", "factory": FACTORY, "weights": models["trained"]}
    masked = {"name": "masked", "factory": "benchmarks.doubts.networks:rounded", "weights": models["trained"]}
    pgd = {"name": "pgd", "steps": 5, "eps": ["38/255", "1"]}
    alone = evaluated(tmp_path / "out", [plain, masked], attacks=[pgd])
    assert kinds(alone, "plain") == set()
    assert kinds(alone, "masked") == {"not_vanishing", "zero_gradients"}
    square = {"name": "square", "steps": 100, "eps": "38/255"}
    both = evaluated(tmp_path / "out", [plain, masked], attacks=[pgd, square])
    assert kinds(both, "plain") == set()
    assert "black_box" in kinds(both, "masked")


def test_a_leak_is_an_error_and_a_clean_split_is_none(models, small_dataset, tmp_path):
    trained_on = {"name": "a", "factory": FACTORY, "weights": models["trained"], "trained_on": [str(small_dataset)]}
    few = {"attacks": [{"name": "fgsm"}], "corruptions": [], "shifts": []}
    changes: dict[str, Any] = {"models": [trained_on], "source": {"format": "digits", "limit": 20}, **few}
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document({}, tmp_path / "out", **changes)))
    done = hardset("evaluate", path)
    assert done.returncode == 2
    assert "source: 20 of 20 evaluated rows are parents of training rows in" in done.stderr
    assert "such as digits#0 (digits#0 there)" in done.stderr
    assert "source.splits" in done.stderr
    assert not (tmp_path / "out").exists()
    record = evaluated(tmp_path / "out", [trained_on], attacks=few["attacks"])
    (shard,) = record.models[0].shards
    assert 300 <= shard.right.of < 450, "the rows of pgd, and those of fgsm that drew nearly its budget"
    assert kinds(record, "a") == set(), "the model never saw the shard, so it is no better on it"


@pytest.fixture(scope="module")
def robust(tmp_path_factory: pytest.TempPathFactory) -> str:
    module = adversarially_trained(eps=0.15, steps=5, epochs=12)
    return saved(module, tmp_path_factory.mktemp("robust") / "robust.safetensors")


TEST: dict[str, Any] = {"format": "digits", "splits": ["test"]}


@pytest.mark.slow
def test_fgsm_overfitting_is_told_and_pgd_training_is_not(robust, tmp_path):
    overfitted = saved(adversarially_trained(eps=0.5, steps=1, epochs=15), tmp_path / "fgsm.safetensors")
    one = [{"name": "overfitted", "factory": FACTORY, "weights": overfitted}]
    found = evaluated(tmp_path / "fgsm", one, threats=[{"eps": 0.5}], attacks=SUITE, source=TEST)
    assert "fgsm_gap" in kinds(found, "overfitted")
    other = [{"name": "robust", "factory": FACTORY, "weights": robust}]
    found = evaluated(tmp_path / "pgd", other, threats=[{"eps": 0.15}], attacks=SUITE, source=TEST)
    assert kinds(found, "robust") == set()
    assert found.model("robust").robust.value > 0.5


@pytest.mark.slow
def test_a_static_shard_is_told_and_a_regenerated_one_is_not(weights, robust, tmp_path):
    recipe = {"kind": "attack", "name": "pgd", "eps": 0.15, "steps": 20}
    source = {"format": "digits", "splits": ["train"]}
    made = tmp_path / "made"
    make_here(parse_job(job_document(weights, made, recipes=[recipe], source=source)))
    pixels, labels = shard_rows(str(made), Image(height=8, width=8, channels=1), Threat(eps=0.15))
    clean = digits("train")
    both = np.concatenate([pixels, clean.pixels]), np.concatenate([labels, clean.labels])
    static = saved(fitted(*both, weights=weights["victim"]), tmp_path / "static.safetensors")
    models = [
        {"name": "static", "factory": FACTORY, "weights": static, "trained_on": [str(made)]},
        {"name": "robust", "factory": FACTORY, "weights": robust, "trained_on": [str(made)]},
    ]
    found = evaluated(tmp_path / "out", models, threats=[{"eps": 0.15}], attacks=SUITE, source=TEST)
    assert "static_shard" in kinds(found, "static")
    assert "static_shard" not in kinds(found, "robust")


@pytest.mark.slow
def test_gains_against_one_kind_of_change_alone_are_told(weights, robust, tmp_path):
    models = [
        {"name": "plain", "factory": FACTORY, "weights": weights["victim"]},
        {"name": "robust", "factory": FACTORY, "weights": robust, "hardened_from": "plain"},
    ]
    threats = [{"eps": 0.15}, {"norm": "l2", "eps": 0.8}]
    attacks = [*SUITE, {"name": "pgd", "norm": "l2", "steps": 20}]
    settings = {"threats": threats, "attacks": attacks, "source": TEST, "shifts": [2]}
    found = evaluated(tmp_path / "out", models, **settings)
    told = [finding.text for finding in found.warnings if finding.kind == "held_out"]
    assert len(told) == 1, "L2 robustness came along with that against Linf"
    assert "points under shift" in told[0]


@pytest.mark.slow
def test_a_checkpoint_that_lost_its_robustness_is_told(robust, tmp_path):
    clean = digits("train")
    worn = saved(fitted(clean.pixels, clean.labels, weights=robust), tmp_path / "worn.safetensors")
    models = [
        {"name": "best", "factory": FACTORY, "weights": robust},
        {"name": "worn", "factory": FACTORY, "weights": worn, "last_of": "best"},
        {"name": "same", "factory": FACTORY, "weights": robust, "last_of": "best"},
    ]
    found = evaluated(tmp_path / "out", models, threats=[{"eps": 0.15}], attacks=SUITE, source=TEST)
    assert "robust_overfitting" in kinds(found, "worn")
    assert kinds(found, "best") == kinds(found, "same") == set()


def test_a_dataset_that_cannot_be_read_is_named(models, tmp_path):
    one = {"name": "a", "factory": FACTORY, "weights": models["trained"], "trained_on": [str(tmp_path / "none")]}
    with pytest.raises(JobError, match=r"trained_on: .*none holds no finished run"):
        evaluated(tmp_path / "out", [one])


def test_classes_without_a_row_are_told() -> None:
    assert doubts.missing_classes([3, 1]) is None
    told = doubts.missing_classes([60, 0, 0])
    assert told is not None
    assert "the rows hold 1 of 3 classes, none of 1, 2: figures over them say nothing of those" in told
    assert "source.limit: {rows: 60, by: class}" in told
