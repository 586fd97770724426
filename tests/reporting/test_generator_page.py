"""The report of a training shows every grid, marks the kept one, and draws its figures where they belong."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from hardset.pipeline.gans.checkpoints import Losses, Progress
from hardset.pipeline.gans.selection import Measure
from hardset.pipeline.reporting.generator_page import TrainingContent, training_page
from hardset.pipeline.reporting.plots import Line, plot
from hardset.schemas.job.gan_training import GanTraining

GRIDS = {step: np.full((19, 19, 1), step, np.uint8) for step in (50, 100)}
SETTINGS = GanTraining(steps=100)
MEASURED = (Measure(step=50, distance=3.25, recall=0.75), Measure(step=100, distance=4.5, recall=0.8))
LOSSES = (Losses(step=50, discriminator=0.7, generator=0.9), Losses(step=100, discriminator=0.6, generator=1.1))


def progress(step: int = 100, measured: tuple[Measure, ...] = MEASURED) -> Progress:
    return Progress(
        asked=SETTINGS, training=SETTINGS, trained_on="ab" * 32, seed=7, step=step, measured=measured, losses=LOSSES
    )


def page(**changes: object) -> str:
    return training_page(TrainingContent("gan.safetensors", progress(**changes), GRIDS, "1.2"))  # type: ignore[arg-type]


def test_every_grid_is_there_pixel_by_pixel() -> None:
    uris = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="Samples of step (\d+)"', page())
    assert [int(step) for _, step in uris] == [50, 100]
    for data, step in uris:
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))
        np.testing.assert_array_equal(shown, GRIDS[int(step)][..., 0])


def test_the_best_is_marked_kept_once_the_training_is_over() -> None:
    assert 'Step 50<span class="detail">FD 3.25, recall 0.75, kept</span>' in page()
    assert "FD 4.5, recall 0.8</span>" in page()
    assert "FD 3.25, recall 0.75, best so far" in page(step=99)


def test_without_measures_samples_and_losses_are_shown() -> None:
    text = page(measured=())
    assert "Fréchet" not in text and "Losses" in text and text.count("<img") == 2


def test_nothing_has_happened_yet() -> None:
    nothing = Progress(asked=SETTINGS, training=SETTINGS, trained_on="ab" * 32, seed=7, step=0)
    assert "0 of 100 steps" in training_page(TrainingContent("gan.safetensors", nothing, {}))


def test_points_of_a_plot_lie_where_their_values_are() -> None:
    """The axis runs from 0 to the largest value, at the top, and from step 0 to the last, at the right."""
    drawn = ElementTree.fromstring(plot("Losses", [Line("one", ((50, 1.0), (100, 4.0)))], "step"))
    (line,) = (one for one in drawn.iter("polyline"))
    assert line.get("class") == "curve series-0"
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in (line.get("points") or "").split())
    axis = [one for one in drawn.iter("line") if one.get("class") in ("axis", "gridline")]
    left, right = float(axis[0].get("x1") or 0), float(axis[0].get("x2") or 0)
    bottom, top = (float(axis[place].get("y1") or 0) for place in (0, -1))
    assert (x1, y1) == pytest.approx((right, top), abs=0.1)
    assert (x0, y0) == pytest.approx(((left + right) / 2, bottom + (top - bottom) / 4), abs=0.1)


def test_values_below_zero_widen_the_axis() -> None:
    drawn = ElementTree.fromstring(plot("Losses", [Line("one", ((1, -2.0), (2, 2.0)))], "step"))
    words = [one.text for one in drawn.iter("text")]
    assert "-2" in words and "2" in words and "0" in words


def test_a_plot_of_nothing_but_zeros_is_drawn() -> None:
    assert "polyline" in plot("Recall", [Line("recall", ((0, 0.0),))], "step")
