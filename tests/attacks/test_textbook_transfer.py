"""Every step of MI, NI, SI, DI and TI beside the papers' formulas, for one row.

Dong et al. 2018 (MI), Lin et al. 2020 (NI and SI), Xie et al. 2019 (DI), Dong et al. 2019 (TI).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.transforms import Diversity, Scales
from hardset.pipeline.compute import rng
from tests.attacks.textbook import CLOSE, engine_passes, project_l2, project_linf, small_net, stored_linf, work_of

STEPS, SIDE, DECAY, SIZE = 7, 12, 0.8, 3.7 / 255
NORMS = {
    "linf": (Linf(), 14.3 / 255, project_linf, torch.sign),
    "l2": (L2(), 0.2, project_l2, lambda velocity: velocity / velocity.norm()),
}
FAMILY = {
    "mi": {},
    "ni": {"nesterov": True},
    "si": {"scales": 3},
    "di": {"diversity": 0.6},
    "ti": {"smoothing": 5},
    "all": {"nesterov": True, "scales": 2, "diversity": 0.6, "smoothing": 3},
}


def _diverse(image, words, probability):
    """Resized to a drawn size from 0.9 of the side to one pixel less, and put at a drawn place on black."""
    whether, large, top, left = (word / 2**32 for word in words)
    if whether >= probability:
        return image
    shortest = int(0.9 * SIDE)
    side = shortest + int(large * (SIDE - shortest))
    small = F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]
    above, before = int(top * (SIDE - side + 1)), int(left * (SIDE - side + 1))
    return F.pad(small, (before, SIDE - side - before, above, SIDE - side - above))


def _smoothed(gradient, side):
    """Convolved with a Gaussian whose edge lies three deviations off its middle."""
    places = np.linspace(-3, 3, side)
    kernel = np.outer(np.exp(-(places**2) / 2), np.exp(-(places**2) / 2))
    planes = [ndimage.convolve(plane, kernel / kernel.sum(), mode="constant") for plane in gradient.double().numpy()]
    return torch.from_numpy(np.stack(planes)).float()


def _gradient(net, label, at, words, *, scales=1, diversity=0.0, smoothing=1, **_):
    """The mean gradient over an image's darker copies, each changed by draws of its own."""
    at = at.detach().requires_grad_(True)
    total = 0
    for copy in range(scales):
        shown = _diverse(at, words[4 * copy : 4 * copy + 4], diversity) / 2**copy
        total = total + F.cross_entropy(net(shown[None]), torch.tensor([label]))
    gradient = torch.autograd.grad(total / scales, at)[0]
    return _smoothed(gradient, smoothing) if smoothing > 1 else gradient


@pytest.mark.parametrize("settings", FAMILY.values(), ids=FAMILY)
@pytest.mark.parametrize(("norm", "on_grid"), [("linf", False), ("linf", True), ("l2", False)])
def test_every_iterate_and_velocity_is_the_papers(settings, norm, on_grid):
    geometry, radius, project, steepest = NORMS[norm]
    net, nesterov, copies = small_net(side=SIDE, channels=2), "nesterov" in settings, settings.get("scales", 1)
    work = work_of(net, geometry, radius, SIZE, side=SIDE, channels=2, started=False)
    transforms = [Diversity(settings["diversity"])] if "diversity" in settings else []
    transforms += [Scales(settings["scales"])] if "scales" in settings else []
    search = Search(
        objectives.cross_entropy, geometry, Momentum(DECAY, nesterov), STEPS, random_start=False,
        transforms=tuple(transforms), smoothing=settings.get("smoothing"), on_grid=on_grid,
    )  # fmt: skip
    found = engine_passes(net, search, work)
    assert len(found) == STEPS
    for row in range(len(work)):
        clean, label, seed = work.pixels[row].float() / 255, int(work.labels[row]), work.seeds[row : row + 1]
        velocity, norm_of_ones = torch.zeros_like(clean), 1.0 if norm == "linf" else clean.numel() ** 0.5
        for step, seen in enumerate(found):
            point = seen.images[row]
            asked = stored_linf(point, clean, 14) if on_grid else point
            # The look-ahead is where no image would be stored; its unit in other norms is that of a step of all values.
            at = point + SIZE * DECAY * velocity / norm_of_ones if nesterov else asked
            words = rng.words(seed, rng.Draw.INPUT_DIVERSITY, 4 * copies, 0, step)[0].tolist()
            gradient = _gradient(net, label, at, words, **settings)
            size = float(gradient.abs().max())
            torch.testing.assert_close(seen.gradient[row], gradient, rtol=1e-3, atol=1e-4 * size)
            if transforms or nesterov:  # the loss is then that of the iterate itself, in a pass of its own
                plain = float(F.cross_entropy(net(asked[None]), torch.tensor([label])))
                assert float(seen.loss[row]) == pytest.approx(plain, rel=1e-4, abs=1e-5)
            velocity = DECAY * velocity + seen.gradient[row] / seen.gradient[row].abs().mean()
            torch.testing.assert_close(seen.memory["velocity"][row], velocity, rtol=1e-5, atol=1e-5)
            if step + 1 < STEPS:
                after = project(point + SIZE * steepest(velocity), clean, float(work.radius[row]))
                torch.testing.assert_close(found[step + 1].images[row], after, **CLOSE)
