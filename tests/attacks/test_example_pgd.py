"""examples/pgd.py tells the engine's loop: its images are the engine's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from examples.pgd import pgd
from safetensors.torch import load_file

from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.sources.digits import DigitsReader
from hardset.schemas.job.sources import DigitsSource
from tests.attacks.nets import frozen, recipe, rows, seeds

EPS, STEP = 40 / 255, 7 / 255


@pytest.mark.parametrize("steps", [1, 9])
def test_the_example_is_the_engine(weights: dict[str, str], steps: int) -> None:
    net = small_cnn()
    net.load_state_dict(load_file(weights["victim"]))
    frozen(net)
    reader = DigitsReader(DigitsSource(format="digits", limit=120))
    (part, *_) = reader.plan(120)
    clean, _ = reader.read(part, reader.probe(), 10)
    engine = recipe(net, batch=32, name="pgd", eps="40/255", step_size="7/255", steps=steps)
    made = engine.make(rows(clean.pixels, clean.labels), seeds(len(clean))[:, None]).pixels
    told = pgd(
        net,
        torch.from_numpy(clean.pixels).permute(0, 3, 1, 2),
        torch.from_numpy(clean.labels),
        torch.from_numpy(seeds(len(clean))),
        eps=EPS,
        step_size=STEP,
        steps=steps,
    )
    np.testing.assert_array_equal(told.permute(0, 2, 3, 1).numpy(), made)
    assert (made != clean.pixels).any(axis=(1, 2, 3)).all()
