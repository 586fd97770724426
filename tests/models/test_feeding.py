"""What a network is fed, and what its answers mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardset.pipeline.models.loading import load_model
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job, Model, Network

CPU = torch.device("cpu")
IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Told(nn.Module):
    """Returns what a function makes of what it is fed."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: Tensor) -> Any:
        if self.kind == "seen":
            return images.flatten(1)
        if self.kind == "seen last":
            assert images.shape[3] == 3
            return images.permute(0, 3, 1, 2).flatten(1)
        logits = images.mean((2, 3))
        return {
            "logits": logits,
            "tuple": (logits, images),
            "mapping": {"logits": logits, "loss": None},
            "object": SimpleNamespace(logits=logits, loss=None),
            "one": logits[:, :1],
            "flat": logits[:, 0],
        }[self.kind]


def told(kind: str) -> nn.Module:
    return Told(kind)


def load(kind: str, classes: int = 192, **settings: Any) -> nn.Module:
    spec = Model(factory="tests.models.test_feeding:told", arguments={"kind": kind}, classes=classes, **settings)
    return load_model(spec, channels=3, device=CPU).module


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"range": [0, 255]}, IMAGES * 255),
        ({"range": [-1, 1]}, IMAGES * 2 - 1),
        ({"range": [1, 0]}, 1 - IMAGES),
        ({"channels": "bgr"}, IMAGES[:, [2, 1, 0]]),
        ({"transpose": True}, IMAGES.transpose(2, 3)),
        ({}, IMAGES),
    ],
)
def test_the_network_sees_what_the_job_says(given: dict[str, Any], expected: Tensor) -> None:
    torch.testing.assert_close(load("seen", input=given)(IMAGES).view(IMAGES.shape), expected)
    laid = load("seen last", input=given | {"layout": "nhwc"})
    torch.testing.assert_close(laid(IMAGES).view(IMAGES.shape), expected)


def test_normalisation_counts_channels_as_the_network_does() -> None:
    normalize = {"mean": [103.939, 116.779, 123.68], "std": [1, 2, 4]}
    seen = load("seen", input={"channels": "bgr", "range": [0, 255]}, normalize=normalize)(IMAGES).view(IMAGES.shape)
    torch.testing.assert_close(seen[:, 2], (IMAGES[:, 0] * 255 - 123.68) / 4)


@pytest.mark.parametrize("kind", ["logits", "tuple", "mapping", "object"])
def test_auto_takes_the_logits_out(kind: str) -> None:
    assert torch.equal(load(kind, classes=3, output="auto")(IMAGES), IMAGES.mean((2, 3)))


@pytest.mark.parametrize("kind", ["one", "flat"])
def test_one_logit_for_two_classes_becomes_two(kind: str) -> None:
    logits = load(kind, classes=2, output="auto")(IMAGES)
    torch.testing.assert_close(logits.softmax(1)[:, 1], torch.sigmoid(IMAGES[:, 0].mean((1, 2))))


def test_outputs_are_put_in_the_order_of_the_classes() -> None:
    assert torch.equal(load("logits", classes=3, output_order=[2, 0, 1])(IMAGES), IMAGES.mean((2, 3))[:, [2, 0, 1]])
    with pytest.raises(JobError, match=r"model\.output_order: has 2 outputs; wants one for each of 3 classes"):
        load("logits", classes=3, output_order=[1, 0])


@pytest.mark.parametrize(
    "settings", [{"input": {"range": [1, 1]}}, {"output_order": [1, 1]}, {"output_order": [-1, 0]}]
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"wants two different|twice|greater than or equal to 0"):
        Model(factory="a:b", classes=2, **settings)


def test_jobs_without_the_settings_are_written_as_before() -> None:
    """So keys of shards that older versions made stay what they are."""
    written = Network(factory="a:b", normalize={"mean": [0.5], "std": [0.5]}).model_dump(mode="json")
    assert list(written) == ["factory", "arguments", "weights", "normalize"]
    set_ones = Model(factory="a:b", classes=2, members=({"factory": "a:c", "output": "auto"},)).model_dump(mode="json")
    assert set_ones["members"] == [
        {"factory": "a:c", "arguments": {}, "weights": None, "normalize": None, "output": "auto"}
    ]
    assert Job.model_fields["model"].annotation is not None
