"""Every way a model can be unfit ends with one sentence that names it; sound models pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hardset.pipeline.batches import Pixels
from hardset.pipeline.models.loading import LoadedModel, load_model
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Model

CPU = torch.device("cpu")


def rows(count: int = 6, side: int = 8, channels: int = 1) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


SMALL_CNN = "hardset.pipeline.models.zoo:small_cnn"


def loaded(factory: str, channels: int = 1, classes: int = 10, **settings: Any) -> LoadedModel:
    path = factory if ":" in factory else f"tests.models.factories:{factory}"
    return load_model(Model(factory=path, classes=classes, **settings), channels=channels, device=CPU)


def check(factory: str, pixels: Pixels, classes: int = 10, *, stochastic: bool = False) -> None:
    check_model(loaded(factory, pixels.shape[3], classes), pixels, CPU, stochastic=stochastic)


@pytest.mark.parametrize(
    ("factory", "pixels", "classes", "sentence"),
    [
        (
            "hardset.pipeline.models.zoo:small_cnn",
            rows(side=9, channels=3),
            10,
            "fails on images of 9x9x3 .*source.channels",
        ),
        ("hardset.pipeline.models.zoo:small_cnn", rows(side=28), 10, "fails on images of 28x28x1 .*source.size"),
        ("hardset.pipeline.models.zoo:small_cnn", rows(), 12, "model.classes: got 12, but the model returns 10 logits"),
        ("feature_map", rows(), 10, r"shape \(6, 10, 6, 6\) for 6 rows; wants \(6, 10\)"),
        ("one_answer_for_all", rows(), 10, r"shape \(1, 10\) for 6 rows"),
        ("a_tuple", rows(), 10, "returns a tuple; wants one tensor of logits"),
        ("infinite", rows(), 10, "NaN or infinite logits"),
        ("probabilities", rows(), 10, "returns probabilities; wants logits, so remove the softmax"),
        ("batch_statistics", rows(), 10, "neighbours in the batch"),
        ("centred_on_the_batch", rows(), 10, "neighbours in the batch"),
        ("noisy", rows(), 10, "answers differently when asked twice; .* or set eot above 1 in every attack recipe"),
        ("drawing_with_numpy", rows(), 10, "answers differently .* even from one state of torch's generators"),
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


@pytest.mark.parametrize(
    "factory", ["hardset.pipeline.models.zoo:small_cnn", "log_probabilities", "half_precision", "masked"]
)
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


@pytest.mark.parametrize("factory", ["noisy", "always_dropping", SMALL_CNN])
def test_a_model_may_answer_at_random_where_the_job_says_so(factory: str) -> None:
    check(factory, rows(), stochastic=True)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("drawing_with_numpy", "even from one state of torch's generators; .* draw it with torch"),
        ("centred_on_the_batch", "neighbours in the batch"),
        ("probabilities", "returns probabilities"),
    ],
)
def test_that_excuses_no_other_fault(factory: str, sentence: str) -> None:
    with pytest.raises(JobError, match=sentence):
        check(factory, rows(), stochastic=True)


def test_the_seed_of_the_process_hides_no_randomness() -> None:
    for seed in range(3):
        with torch.random.fork_rng(devices=[]), pytest.raises(JobError, match="answers differently"):
            torch.manual_seed(seed)
            check("noisy", rows())


@pytest.mark.parametrize("factory", ["detached", "without_derivative"])
def test_a_model_without_gradient_gets_its_sentence(factory: str) -> None:
    check(factory, rows())
    with pytest.raises(
        JobError, match=r"^model\.factory: no gradient gets from the logits .* attack with square"
    ) as caught:
        check_gradient(loaded(factory), rows(), CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factory", ["rounding", "not_finite_backwards"])
def test_a_gradient_of_no_use_is_a_warning(factory: str) -> None:
    (warning,) = check_gradient(loaded(factory), rows(), CPU)
    assert warning.startswith("model: the gradient of the first rows is zero everywhere, or not finite")


def test_a_gradient_that_is_not_finite_in_one_place_is_a_warning_with_its_share() -> None:
    pixels = rows().clip(1, 255)
    assert check_gradient(loaded("rooted"), pixels, CPU) == ()
    pixels[3, 2, 2] = 0
    (warning,) = check_gradient(loaded("rooted"), pixels, CPU)
    assert "holds NaN or infinity (0.3% of its components)" in warning


@pytest.mark.parametrize("factory", [SMALL_CNN, "noisy", "log_probabilities", "half_precision"])
@pytest.mark.parametrize("pixels", [rows(), rows(1)])
def test_a_gradient_that_arrives_is_no_news(factory: str, pixels: Pixels) -> None:
    model, state = loaded(factory), torch.get_rng_state()
    assert check_gradient(model, pixels, CPU) == ()
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_an_ensemble_needs_a_gradient_where_its_loss_is_taken() -> None:
    """The mean of logits has one as long as any member has; the loss of a member alone has not."""
    silent = {"factory": "tests.models.factories:detached"}
    assert check_gradient(loaded(SMALL_CNN, members=(silent,)), rows(), CPU) == ()
    with pytest.raises(JobError, match="no gradient gets"):
        check_gradient(loaded(SMALL_CNN, members=(silent,), combine="loss"), rows(), CPU)


def test_memory_running_out_on_the_way_back_is_no_fault_of_the_model() -> None:
    with pytest.raises(RunError, match="not the memory for the gradient of 6 rows"):
        check_gradient(loaded("out_of_memory"), rows(), CPU)


def preflight(factory: str, *, batch: int | None = None, stochastic: bool = False) -> tuple[str, ...]:
    return check_model(loaded(factory), rows(), CPU, stochastic=stochastic, batch=batch)


@pytest.mark.parametrize(
    ("factory", "batch", "sentence"),
    [
        ("probabilities_in_bfloat16", None, "returns probabilities; wants logits"),
        ("squeezing", 1, r"shape \(10,\) for 1 row; wants \(1, 10\); squeeze\(\) without a dimension drops"),
        ("for_sixteen_rows", 4, "fails on 4 rows, and takes batches of 16 alone: set run.batch: 16"),
        ("half_inside", 8, r"RuntimeError: .*Half.*; hardset runs models in float32, .* take \.half\(\)"),
        ("two_arguments", 8, "missing 1 required positional argument: 'time'; it is called with the images alone"),
        ("a_tuple", 8, r"returns a tuple; wants one tensor of logits: model\.output: auto takes"),
        ("keyword_needed", 8, "missing 1 required keyword-only argument: 'time'; it is called with the images alone"),
        ("double_inside", 8, r"this one turns its images to float64: take \.double\(\) out"),
        ("writing_into_its_input", 8, r"writes into the images .* write images = images - mean"),
        ("differentiating", 8, r"takes gradients itself: have it do so under torch\.enable_grad"),
        ("probabilities_rounded_to_bfloat16", 8, "returns probabilities; wants logits"),
        ("percentages", 8, "returns probabilities; wants logits"),
        ("numbers_of_classes", 8, r"shape \(8,\) .* not numbers of classes: take the argmax off its end"),
        ("whole_logits", 8, "returns numbers of type int64; wants logits in floating point"),
        ("complex_logits", 8, "returns numbers of type complex64; wants logits in floating point"),
        ("four_axes", 8, r"shape \(8, 10, 1, 1\) .*; set model\.output: auto, which leaves out axes of one place"),
        pytest.param(
            "on_a_device",
            8,
            "it makes tensors on a device of its own: use the device of its input",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there it works"),
        ),
    ],
)
def test_a_model_is_tried_as_it_will_be_run(factory: str, batch: int | None, sentence: str) -> None:
    with pytest.raises(JobError, match=sentence):
        preflight(factory, batch=batch)


def test_a_model_that_is_judged_row_by_row_is_tried_on_one() -> None:
    assert preflight("squeezing", batch=8) == ()
    with pytest.raises(JobError, match=r"shape \(10,\) for 1 row"):
        preflight("squeezing", batch=8, stochastic=True)


def test_a_graph_for_one_size_of_batch_passes_at_that_size() -> None:
    assert preflight("for_sixteen_rows", batch=16) == ()

    assert check_gradient(loaded("for_sixteen_rows"), rows(), CPU, batch=16) == ()


def test_a_model_that_writes_into_its_input_is_found_on_the_way_back_too() -> None:
    with pytest.raises(JobError, match=r"^model\.factory: the model writes into the images"):
        check_gradient(loaded("writing_into_its_input"), rows(), CPU)


@pytest.mark.parametrize(
    ("factory", "sentence"), [("lazy", "know their size only after a first batch"), ("without_values", "meta device")]
)
def test_a_model_without_values_is_refused(factory: str, sentence: str) -> None:
    with pytest.raises(JobError, match=rf"^model\.factory: the model.*{sentence}"):
        loaded(factory)


AUTO = ["a_tuple", "under_another_key", "as_an_attribute", "features_first", "four_axes"]


@pytest.mark.parametrize("factory", AUTO)
def test_logits_are_found_in_what_a_model_returns(factory: str) -> None:
    model, images = loaded(factory, output="auto"), torch.rand(4, 1, 8, 8)
    assert check_model(model, rows(), CPU, batch=8) == ()
    torch.testing.assert_close(model.module(images), loaded(SMALL_CNN).module(images))


def test_logits_by_that_name_are_the_ones_that_count() -> None:
    with pytest.raises(JobError, match="got 10, but the model returns 12 logits"):
        check_model(loaded("logits_of_twelve_and_ten", output="auto"), rows(), CPU)


def test_one_number_for_two_classes_is_a_logit_or_refused() -> None:
    with pytest.raises(JobError, match=r"shape \(6,\) .*; set model\.output: auto, which makes \[0, z\]"):
        check_model(loaded("one_logit", classes=2), rows(), CPU)
    logits = loaded("one_logit", classes=2, output="auto").module(torch.rand(4, 1, 8, 8))
    assert logits.shape == (4, 2)
    assert not logits[:, 0].any()
    with pytest.raises(JobError, match="returns one probability for two classes; wants the logit, so remove the sig"):
        check_model(loaded("one_probability", classes=2, output="auto"), rows(), CPU)


def test_sigmoids_are_warned_of() -> None:
    (warning,) = preflight("sigmoids")
    assert "do not sum to 1, as those of a sigmoid" in warning
    assert preflight("log_probabilities") == preflight(SMALL_CNN) == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_quantised_models_are_refused_and_scripted_ones_run() -> None:
    with pytest.raises(JobError, match=r"model\.factory: the model is quantised, so that no gradient gets through"):
        loaded("quantised")
    assert preflight("scripted", batch=8) == check_gradient(loaded("scripted"), rows(), CPU) == ()
