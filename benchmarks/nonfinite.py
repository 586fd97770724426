"""Attacks on models with infinite or undefined slopes beside a plain loop that sets such components to 0.

    python -m benchmarks.nonfinite [--rows 500]    writes docs/benchmarks/nonfinite.json and the table of docs/models.md

The classifier is trained on the bundled digits, most of whose pixels are black, where a power below 1 has an infinite
slope and a root of a square has none. The loop works on floats and counts a row as fooled by any of its iterates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from docs import tables
from torch import Tensor, nn

from hardset.pipeline.attacks.geometries import L2, Geometry, Linf
from hardset.pipeline.attacks.l1 import L1
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.models.feeding import Through
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Attack

TARGET = Path(__file__).parents[1] / "docs" / "benchmarks" / "nonfinite.json"
STEPS = 20
SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "none: the classifier itself": lambda images: images,
    "`images ** 0.45`": lambda images: images.pow(0.45),
    "`(images * images).sqrt()`": lambda images: (images * images).sqrt(),
}
GEOMETRIES: dict[str, tuple[Geometry, float]] = {"linf": (Linf(), 24 / 255), "l2": (L2(), 1.0), "l1": (L1(), 5.0)}
ATTACKS = ("bim", "pgd", "apgd_ce")


def plain_loop(model: nn.Module, rows: CleanRows, geometry: Geometry, eps: float, *, drawn: bool) -> float:
    """Share of rows fooled by a loop of steps of eps / 10 that sets what is not finite to 0; `drawn`: random start."""
    clean, labels = torch.from_numpy(rows.pixels).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(rows.labels)
    radius, point = torch.full((len(clean),), eps), clean
    if drawn:
        point = geometry.start(clean, radius, torch.arange(len(clean)), torch.zeros_like(labels))
    fooled = torch.zeros(len(clean), dtype=torch.bool)
    for _ in range(STEPS + 1):
        asked = point.detach().requires_grad_(True)
        logits = model(asked)
        fooled |= logits.argmax(1) != labels
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), asked)
        gradient = torch.where(gradient.isfinite(), gradient, 0)
        with torch.no_grad():
            step = geometry.steepest(gradient, point, radius)
            point = geometry.project(point + eps / 10 * step, clean, radius)
    return float(fooled.float().mean())


def attacked(model: nn.Module, rows: CleanRows, name: str, norm: str, eps: float) -> tuple[float, float]:
    """Share of rows whose stored image is misclassified, and share of rows with the flag."""
    spec = Attack.model_validate(
        {"name": name, "norm": norm, "eps": eps, "steps": STEPS, "kind": "attack"}
        | ({"step_size": eps / 10} if name in ("bim", "pgd") else {})
    )
    recipe = AttackRecipe(spec, module=model, classes=10, batch=100, device=torch.device("cpu"))
    made = recipe.make(rows, np.arange(len(rows), dtype=np.int64)[:, None])
    with torch.no_grad():
        pred = model(torch.from_numpy(made.pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    flagged = ["nonfinite_gradient" in str(flags) for flags in made.columns["flags"]]
    return float((pred != rows.labels).mean()), float(np.mean(flagged))


def digits(count: int) -> tuple[nn.Module, CleanRows]:
    """A classifier of the bundled digits, and the rows that it was not trained on."""
    job = Job.model_validate(
        {
            "name": "digits",
            "source": {"format": "digits"},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": "memory://none", "shard_rows": 10_000},
        }
    )
    plan = make_plan(job)
    rows, _ = open_source(job.source).read(plan.ranges[0], plan.image, 10)
    torch.manual_seed(0)
    net = fit_classifier(small_cnn(), rows.pixels[count:], rows.labels[count:], epochs=8, seed=0)
    first = CleanRows(rows.pixels[:count], rows.labels[:count], rows.keys[:count], rows.indices[:count])
    return net.requires_grad_(False), first


def lines(count: int) -> Iterator[dict[str, Any]]:
    """One line of the table for each model and norm; shares in [0, 1]."""
    net, rows = digits(count)
    for slope, function in SLOPES.items():
        model = Through(net, function).eval()
        for norm, (geometry, eps) in GEOMETRIES.items():
            found = {name: attacked(model, rows, name, norm, eps) for name in ATTACKS}
            yield {
                "slope": slope,
                "norm": norm,
                "eps": round(eps, 6),
                "plain_loop": round(plain_loop(model, rows, geometry, eps, drawn=False), 4),
                "plain_loop_drawn": round(plain_loop(model, rows, geometry, eps, drawn=True), 4),
                **{name: round(fooled, 4) for name, (fooled, _) in found.items()},
                "flagged": round(found["bim"][1], 4),
            }


def main(rows: Annotated[int, typer.Option(min=10, help="Rows to attack.")] = 500) -> None:
    """Measures and writes the figures."""
    torch.set_num_threads(1)
    figures = {"versions": versions(), "rows": rows, "steps": STEPS, "lines": list(lines(rows))}
    TARGET.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    tables.main()


if __name__ == "__main__":
    typer.run(main)
