"""Every way a model can be unfit ends with one sentence that names it; sound models pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.models.loading import load_model
from pipeline.models.preflight import check_model
from pipeline.rows import Pixels
from schemas.errors import JobError, RunError
from schemas.job import Model

CPU = torch.device("cpu")


def rows(count: int = 6, side: int = 8, channels: int = 1) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def check(factory: str, pixels: Pixels, classes: int = 10) -> None:
    path = factory if ":" in factory else f"tests.models.factories:{factory}"
    spec = Model(factory=path, classes=classes)
    check_model(load_model(spec, channels=pixels.shape[3], device=CPU), pixels, CPU)


@pytest.mark.parametrize(
    ("factory", "pixels", "classes", "sentence"),
    [
        ("pipeline.models.zoo:small_cnn", rows(side=9, channels=3), 10, "fails on images of 9x9x3 .*source.channels"),
        ("pipeline.models.zoo:small_cnn", rows(side=28), 10, "fails on images of 28x28x1 .*source.size"),
        ("pipeline.models.zoo:small_cnn", rows(), 12, "model.classes: got 12, but the model returns 10 logits"),
        ("feature_map", rows(), 10, r"shape \(6, 10, 6, 6\) for 6 rows; wants \(6, 10\)"),
        ("one_answer_for_all", rows(), 10, r"shape \(1, 10\) for 6 rows"),
        ("a_tuple", rows(), 10, "returns a tuple; wants one tensor of logits"),
        ("infinite", rows(), 10, "NaN or infinite logits"),
        ("probabilities", rows(), 10, "returns probabilities; wants logits, so remove the softmax"),
        ("batch_statistics", rows(), 10, "neighbours in the batch"),
        ("centred_on_the_batch", rows(), 10, "neighbours in the batch"),
        ("noisy", rows(), 10, "answers differently when asked twice"),
        ("always_dropping", rows(), 10, "answers differently when asked twice"),
    ],
)
def test_an_unfit_model_gets_its_sentence(factory: str, pixels: Pixels, classes: int, sentence: str) -> None:
    with pytest.raises(JobError, match=sentence) as caught:
        check(factory, pixels, classes)
    assert "\n" not in str(caught.value)


def test_memory_running_out_is_no_fault_of_the_shape() -> None:
    with pytest.raises(RunError, match="not the memory for 6 rows of 8x8x1"):
        check("out_of_memory", rows())


@pytest.mark.parametrize("factory", ["pipeline.models.zoo:small_cnn", "log_probabilities", "half_precision", "masked"])
@pytest.mark.parametrize("pixels", [rows(), rows(1), rows(100), np.zeros((2, 8, 8, 1), np.uint8)])
def test_a_sound_model_passes(factory: str, pixels: Pixels) -> None:
    check(factory, pixels)


def test_a_read_only_sample_and_the_global_generator_are_left_as_they_were() -> None:
    pixels, state = rows(), torch.get_rng_state()
    pixels.setflags(write=False)
    with pytest.raises(JobError):
        check("noisy", pixels)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(pixels, rows())
