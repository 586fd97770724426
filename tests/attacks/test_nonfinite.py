"""Gradients with NaN or infinity in them: those components count as 0, nothing else changes, and the row says so."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardset.pipeline.attacks.geometries import L2, Geometry, Linf
from hardset.pipeline.attacks.grid import finite_part
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.momentum import _scaled
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.judging.masking import signals_of, warnings_of
from hardset.pipeline.models.feeding import Through
from hardset.pipeline.models.loading import load_model
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources.table import open_source
from hardset.schemas.records.counts import Counts
from tests.attacks.nets import CPU, conv_net, frozen, images, predictions, recipe, rows, seeds
from tests.support import job_of

ROWS, STEPS = 200, 12
GEOMETRIES: dict[str, tuple[Geometry, float]] = {"linf": (Linf(), 32 / 255), "l2": (L2(), 1.0), "l1": (L1(), 5.0)}


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "infinite": lambda shown: shown.pow(0.45),
    "nan": lambda shown: (shown * shown).sqrt(),
    "opposite infinities": lambda shown: shown.pow(0.5) - 0.5 * (1 - shown).pow(0.5) + 0.5,
}


@pytest.fixture(scope="module")
def digits(weights: dict[str, str]) -> tuple[nn.Module, CleanRows]:
    """The trained classifier and real rows, most of whose pixels are black or white."""
    output = {"path": "memory://none", "shard_rows": ROWS}
    job = job_of(weights, "memory://none", source={"format": "digits", "limit": ROWS}, output=output)
    plan = make_plan(job)
    found, _ = open_source(job.source).read(plan.ranges[0], plan.image, 10)
    assert job.model is not None
    return load_model(job.model, channels=1, device=CPU).module, found


def plain_loop(net: nn.Module, clean: CleanRows, geometry: Geometry, eps: float, decay: float) -> float:
    """Share of rows that any iterate fools, when a loop over float iterates sets what is not finite to 0."""
    start, labels = torch.from_numpy(clean.pixels).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(clean.labels)
    radius, size = torch.full((len(start),), eps), torch.full((len(start), 1, 1, 1), eps / 5)
    point, fooled, velocity = start, torch.zeros(len(start), dtype=torch.bool), torch.zeros_like(start)
    for _ in range(STEPS + 1):
        asked = point.detach().requires_grad_(True)
        logits = net(asked)
        fooled |= logits.argmax(1) != labels
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), asked)
        gradient = torch.where(gradient.isfinite(), gradient, 0)
        mean = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        velocity = decay * velocity + gradient / torch.where(mean > 0, mean, 1)
        with torch.no_grad():
            step = geometry.steepest(velocity if decay else gradient, point, radius)
            point = geometry.project(point + size * step, start, radius)
    return float(fooled.float().mean())


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize(
    ("attack", "norm"), [("bim", "linf"), ("bim", "l2"), ("bim", "l1"), ("mi_fgsm", "linf"), ("mi_fgsm", "l2")]
)
def test_reaches_what_a_plain_loop_reaches_that_sets_them_to_0(digits, slope, attack, norm):
    trained, clean = digits
    net, (geometry, eps) = frozen(Through(trained, SLOPES[slope])), GEOMETRIES[norm]
    attacked = recipe(net, batch=100, kind="attack", name=attack, norm=norm, eps=eps, steps=STEPS, step_size=eps / 5)
    made = attacked.make(clean, seeds(ROWS)[:, None])
    fooled = (predictions(net, made.pixels) != clean.labels).mean()
    assert fooled >= plain_loop(net, clean, geometry, eps, float(attack == "mi_fgsm")) - 0.02
    assert all("nonfinite_gradient" in flags.split(",") for flags in made.columns["flags"])
    shares = np.array([json.loads(text)["nonfinite_gradient"] for text in made.columns["params"]])
    assert ((shares > 0) & (shares < 1)).all()


@pytest.mark.parametrize("attack", ["apgd_ce", "pgd", "apgd_dlr", "pma"])
def test_stronger_schedules_stay_stronger(digits, attack):
    trained, clean = digits
    net, (geometry, eps) = frozen(Through(trained, SLOPES["infinite"])), GEOMETRIES["l2"]
    made = recipe(net, batch=100, kind="attack", name=attack, norm="l2", eps=eps, steps=STEPS).make(
        clean, seeds(ROWS)[:, None]
    )
    fooled = (predictions(net, made.pixels) != clean.labels).mean()
    assert fooled >= plain_loop(net, clean, geometry, eps, 0.0) - 0.02


def test_finite_components_keep_their_bits_and_others_are_counted():
    inf, nan = float("inf"), float("nan")
    values = torch.tensor([[1.0, -0.0, 3e38], [inf, nan, -1e-45], [-inf, 2.0, nan]])
    found, lost = finite_part(values)
    assert lost.tolist() == [0, 2, 2]
    wanted = torch.tensor([[1.0, -0.0, 3e38], [0.0, 0.0, -1e-45], [0.0, 2.0, 0.0]])
    assert torch.equal(found.view(torch.int32), wanted.view(torch.int32))


@pytest.mark.parametrize("attack", ["di_fgsm", "ti_fgsm", "ni_fgsm", "pgd"])
def test_one_component_spoils_no_other(attack):
    """The sums of transforms, smoothing and averages would hand a NaN on to pixels whose own gradient is known."""
    net, pixels = conv_net(), images(6, seed=3, low=40, high=200)
    pixels[:, 0, 0] = 0
    clean = rows(pixels, predictions(net, pixels))
    one = frozen(Through(net, lambda shown: shown + 0 * shown[:, :, :1, :1].sqrt().sum((1, 2, 3), keepdim=True)))
    settings = {"kind": "attack", "name": attack, "norm": "linf", "eps": 0.1, "steps": 6, "region": None}
    if attack == "pgd":
        settings |= {"eot": 3, "random_start": False}
    made, whole = (recipe(module, **settings).make(clean, seeds(6)[:, None]) for module in (one, net))
    same = (made.pixels == whole.pixels).mean(axis=(1, 2, 3))
    assert (same > 0.8).all()
    assert "nonfinite_gradient" not in "".join(whole.columns["flags"])
    assert list(whole.columns["params"]) == [None] * 6


def test_a_look_ahead_that_leaves_where_the_model_is_defined_comes_back_to_the_box():
    """Nesterov's place may be below 0, where a root of the image is NaN and takes all logits with it."""
    net, pixels = conv_net(), images(40, seed=4)
    root = frozen(Through(net, SLOPES["infinite"]))
    pixels[:, ::2] = 0
    clean = rows(pixels, predictions(root, pixels))
    settings = {"kind": "attack", "norm": "linf", "eps": 0.15, "steps": 15}
    fooled = {
        name: (predictions(root, recipe(root, name=name, **settings).make(clean, seeds(40)[:, None]).pixels)
               != clean.labels).mean()
        for name in ("ni_fgsm", "mi_fgsm")
    }  # fmt: skip
    assert fooled["ni_fgsm"] >= fooled["mi_fgsm"] - 0.1 > 0.3


def test_momentum_survives_gradients_whose_sum_is_infinite():
    gradient = torch.full((1, 3, 8, 8), 3e38)
    gradient[0, 0, 0, 0] = -1e38
    found = _scaled(gradient)
    assert bool(found.isfinite().all())
    assert torch.equal(found.sign(), gradient.sign())


def test_a_run_warns_of_rows_whose_gradient_was_not_finite():
    columns = {"flags": ["nonfinite_gradient", "", "nonfinite_gradient,no_rise"], "found_by": ["pgd"] * 3}
    columns |= {"success": [True, False, False], "steps": [5, 5, 5]}
    counts = Counts(attacked=3, signals=signals_of(columns, np.ones(3, bool)))
    found = warnings_of(counts, {"kind": "attack", "name": "pgd", "norm": "linf"})
    (text,) = [warning for warning in found if "NaN or infinity" in warning]
    assert "2 of 3 attacked rows (66.7%)" in text
