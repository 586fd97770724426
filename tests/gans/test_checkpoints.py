"""Checkpoints: what is kept comes back, and what is no checkpoint is refused in one sentence."""

from __future__ import annotations

import pytest
import torch

from hardset.pipeline.gans.checkpoints import Checkpoint, Losses, Progress, decode_checkpoint, encode_checkpoint
from hardset.pipeline.gans.files import encode_generator
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.selection import Measure
from hardset.pipeline.recipes.gan_checkpoints import remove_checkpoint, save_checkpoint, saved_checkpoint
from hardset.schemas.errors import JobError
from tests.gans.conftest import TINY

PROGRESS = Progress(
    asked=TINY,
    training=TINY.model_copy(update={"gamma": 0.5}),
    trained_on="ab" * 32,
    seed=3,
    step=7,
    slower=0.25,
    measured=(Measure(step=5, distance=1.5, recall=0.5),),
    losses=(Losses(step=4, discriminator=0.7, generator=0.8), Losses(step=7, discriminator=0.5, generator=1.2)),
)
PLAYERS = {"generator.norms.0.norm.running_mean": torch.arange(6.0).view(2, 3).T, "random": torch.get_rng_state()}
GRID = torch.arange(12, dtype=torch.uint8).view(2, 2, 3)
CHECKPOINT = Checkpoint(PROGRESS, PLAYERS, {5: {"norms.0.embed.weight": torch.ones(2)}}, {5: GRID})


def assert_same(found: Checkpoint | None) -> None:
    assert found is not None and found.progress == PROGRESS
    assert found.players.keys() == PLAYERS.keys() and found.kept.keys() == {5}
    assert all(torch.equal(found.players[name], tensor) for name, tensor in PLAYERS.items())
    assert torch.equal(found.kept[5]["norms.0.embed.weight"], torch.ones(2))
    assert found.shown.keys() == {5} and torch.equal(found.shown[5], GRID)


def test_a_checkpoint_comes_back() -> None:
    assert_same(decode_checkpoint(encode_checkpoint(CHECKPOINT), name="x"))


@pytest.mark.parametrize("url", ["memory://gan.safetensors", "memory://checkpoints/a/gan.safetensors"])
def test_it_lies_beside_the_weights_on_any_storage(url: str) -> None:
    assert saved_checkpoint(url) is None
    save_checkpoint(CHECKPOINT, url)
    assert_same(saved_checkpoint(url))
    remove_checkpoint(url)
    remove_checkpoint(url)
    assert saved_checkpoint(url) is None


SPOILT = {
    "empty": lambda data: b"",
    "text": lambda data: b"<html>404 not found</html>",
    "cut short": lambda data: data[:-20],
    "deeply nested": lambda data: (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "of another version": lambda data: data.replace(b'slower\\":', b'faster\\":'),
}


@pytest.mark.parametrize("case", SPOILT)
def test_what_is_no_checkpoint_is_refused(case: str) -> None:
    with pytest.raises(JobError, match=r"generator\.weights: gan\.checkpoint is no checkpoint .* remove it"):
        decode_checkpoint(SPOILT[case](encode_checkpoint(CHECKPOINT)), name="gan.checkpoint")


def test_a_generator_is_no_checkpoint(generator: Generator) -> None:
    with pytest.raises(JobError, match="is no checkpoint"):
        decode_checkpoint(encode_generator(generator), name="gan.safetensors")
