"""What cannot work is one clear sentence, before hours are spent."""

from __future__ import annotations

import numpy as np
import pytest

from hardset.schemas.errors import JobError, RunError
from hardset.schemas.reading.loading import parse_job
from tests.hardening.examples import PGD, harden_here, loop_document, loop_job
from tests.support import job_of, make_here


def npz(path, *, rows=60, classes=10, splits=("train", "test")):
    """Random images whose classes take turns; a file for each split."""
    path.mkdir()
    generator = np.random.default_rng(1)
    for split in splits:
        images = generator.integers(0, 256, (rows, 8, 8), dtype=np.uint8)
        np.savez(path / f"{split}.npz", images=images, labels=np.arange(rows) % classes)
    return {"format": "npz", "path": str(path / "*.npz")}


def test_no_validation_split(weights, tmp_path):
    job = loop_job(weights, tmp_path / "out", harden={"rounds": 2})
    with pytest.raises(JobError, match=r"no split 'validation'.*it has: train.*validation: \{fraction: 0\.1\}"):
        harden_here(job)
    assert not (tmp_path / "out").exists()


def test_the_test_split_chooses_nothing(weights, tmp_path):
    with pytest.raises(JobError, match=r"harden\.validation: got test"):
        loop_job(weights, tmp_path / "out", harden={"validation": "test"})


def test_a_class_without_training_rows(weights, tmp_path):
    source = npz(tmp_path / "source", classes=9, splits=("train", "validation"))
    with pytest.raises(JobError, match="no training rows of class 9"):
        harden_here(loop_job(weights, tmp_path / "out", source=source, harden={"rounds": 2}))


def test_weights_that_do_not_fit(weights, tmp_path):
    model = {"factory": "hardset.pipeline.models.zoo:cnn_a", "arguments": {"channels": 1, "side": 8}, "classes": 10}
    job = loop_job(weights, tmp_path / "out", model=model | {"weights": weights["victim"]})
    with pytest.raises(JobError, match=r"model\.weights"):
        harden_here(job)


def test_a_file_that_holds_the_network_whole(weights, tmp_path):
    model = {"format": "huggingface", "weights": str(tmp_path), "classes": 10}
    with pytest.raises(JobError, match=r"^model\.format: got huggingface, .*: name the code that builds yours$"):
        harden_here(loop_job(weights, tmp_path / "out", model=model))


def test_an_attack_that_leaves_nothing_to_learn(weights, tmp_path):
    train = {"method": "pgd_at", "epochs": 3, "batch": 64, "give_up_after": 2}
    train |= {"attack": {"name": "pgd", "eps": 1, "steps": 2}}
    model = {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10}
    with pytest.raises(RunError, match=r"which is chance; eps 1 leaves it nothing to learn"):
        harden_here(loop_job(weights, tmp_path / "out", model=model, train=train))


def test_rows_made_for_another_number_of_classes(weights, tmp_path):
    source = npz(tmp_path / "source", classes=5, splits=("train",))
    other = tmp_path / "other"
    model = {"factory": "hardset.pipeline.models.zoo:small_cnn", "arguments": {"classes": 5}, "classes": 5}
    make_here(job_of(weights, other, source=source, model=model, recipes=[PGD]))
    train = {"epochs": 1, "data": [str(other)]}
    with pytest.raises(JobError, match="made for 5 classes, and the model has 10"):
        harden_here(loop_job(weights, tmp_path / "out", train=train))


def test_a_test_parent_among_training_rows_is_an_error(weights, tmp_path):
    """Test images, stored anew as if they were for training, are known by their pixels."""
    source = npz(tmp_path / "source", splits=("train", "validation", "test"))
    leaking = tmp_path / "leaking"
    leaking.mkdir()
    (leaking / "train.npz").write_bytes((tmp_path / "source" / "test.npz").read_bytes())
    made = tmp_path / "made"
    make_here(job_of(weights, made, source={"format": "npz", "path": str(leaking / "*.npz")}, recipes=[PGD]))
    job = loop_job(weights, tmp_path / "out", source=source, train={"data": [str(made)]}, harden={"rounds": 2})
    with pytest.raises(JobError, match=r"stems from train\.npz#0, which belongs to validation or test"):
        harden_here(job)


def test_training_rows_that_are_copies_of_test_rows_are_left_out_and_told(weights, tmp_path):
    source = npz(tmp_path / "source", splits=("train", "validation", "test"))
    with np.load(tmp_path / "source" / "train.npz") as train, np.load(tmp_path / "source" / "test.npz") as test:
        images = np.concatenate([train["images"], test["images"][:3]])
        labels = np.concatenate([train["labels"], test["labels"][:3]])
    np.savez(tmp_path / "source" / "train.npz", images=images, labels=labels)
    told: list[str] = []
    job = loop_job(weights, tmp_path / "out", source=source, harden={"rounds": 1}, train={"method": "standard"})
    outcome = harden_here(job, on_warning=told.append)
    assert any("3 training rows are left out" in text for text in told)
    assert outcome.home.rounds()[0].rows == {"clean": 60}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"harden": None}, "harden: missing"),
        ({"recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}]}, "none attacks the model"),
        ({"train": {"method": "pgd_at", "attack": {"name": "apgd_ce", "eps": 0.1}}}, "wants one of fgsm, bim"),
        ({"train": {"mix": {"newest": 0.5}}}, "add up to 0.7; want 1"),
        ({"train": {"beta": 2}}, "beta: shards has no robust term"),
        ({"train": {"optimiser": "no_such.module:thing", "method": "standard"}}, r"train\.optimiser"),
    ],
)
def test_settings_that_cannot_work(weights, tmp_path, changes, match):
    with pytest.raises(JobError, match=match):
        harden_here(parse_job(loop_document(weights, tmp_path / "out", **changes)))
