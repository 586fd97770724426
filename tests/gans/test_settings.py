"""What the settings of a training leave open, and what is chosen then."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from hardset.pipeline.gans.settings import gamma_of, resolved
from hardset.pipeline.gans.shape import Shape
from hardset.schemas.job.gan_training import GanTraining

CPU = torch.device("cpu")


def shape(side: int = 32, channels: int = 3) -> Shape:
    return Shape(10, side, side, channels, 64, 128)


def chosen(side: int = 32, channels: int = 3, **given: object) -> GanTraining:
    return resolved(GanTraining.model_validate(given), shape(side, channels), device=CPU)


def test_nothing_is_left_open() -> None:
    for loss in ("hinge", "relativistic"):
        assert "auto" not in chosen(loss=loss).model_dump().values()
        assert chosen(loss=loss).steps is not None


def test_what_is_given_stays() -> None:
    given = {"steps": 7, "gamma": 3.0, "augment": False, "flip": False, "generator_rate": 0.1, "precision": "float32"}
    found = chosen(**given)
    assert {name: getattr(found, name) for name in given} == given


def test_grey_images_are_not_mirrored_nor_augmented_and_learn_faster() -> None:
    grey, colour = chosen(channels=1), chosen(channels=3)
    assert (grey.flip, grey.augment, colour.flip, colour.augment) == (False, False, True, True)
    assert (grey.generator_rate, colour.generator_rate) == (1e-3, 5e-4)


def test_images_become_whole_steps() -> None:
    assert chosen(images=100, batch=64).steps == 2
    assert chosen(images=128, batch=64).steps == 2


def test_seconds_wait_for_the_trial() -> None:
    assert (chosen(seconds=3).steps, chosen(seconds=3).seconds) == (None, 3)


def test_gamma_grows_with_the_pixels() -> None:
    assert gamma_of(shape(64)) == 4 * gamma_of(shape(32)) == 4 * gamma_of(shape(8))


@pytest.mark.parametrize("given", [{"steps": 1, "seconds": 1}, {"images": 5, "seconds": 1}, {"steps": 1, "images": 64}])
def test_one_budget_is_enough(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="says already how long to train; remove one of the two"):
        GanTraining.model_validate(given)
