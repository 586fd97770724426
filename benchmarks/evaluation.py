"""Compares `hardset evaluate` on published models with figures of other libraries for the same attacks.

    python -m benchmarks.evaluation --data FOLDER [--only NAME ...] [--out docs/benchmarks/evaluation.json]

FOLDER holds the models' weights, real images, and a README whose table "Reference figures" lists the robust accuracy
of the same rows under torchattacks, foolbox and AutoAttack, in floats. It is not part of the project. One job evaluates
each line of that table whose model is in the zoo: one random start, equal steps and step size, all rows at one budget.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.evaluation.evaluate import evaluate
from hardset.schemas.job.evaluation import parse_evaluation
from hardset.schemas.records.evaluation import Share

_APGD_STEPS = 100  # the AutoAttack authors' setting, independent of the other attacks of a line
TOLERANCE = 0.5
"""Accepted difference between hardset's figure and the libraries', in percentage points."""


@dataclass(frozen=True)
class Case:
    """A model and its rows, as a job file names them."""

    model: dict[str, Any]
    file: str
    channels: int
    rows: int


_CIFAR = "cifar10_test_jpeg.parquet"
_IMAGENET_STYLE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_ZOO = "hardset.pipeline.models.zoo"
CASES = {
    "mnist_fast_fgsm": Case(
        {"factory": f"{_ZOO}:cnn_a", "arguments": {"channels": 1, "side": 28}}, "mnist_t10k.parquet", 1, 1000
    ),
    "cifar_cnn_a_adv": Case(
        {
            "factory": f"{_ZOO}:cnn_a",
            "normalize": {
                "mean": [125.3 / 255, 123.0 / 255, 113.9 / 255],
                "std": [63.0 / 255, 62.1 / 255, 66.7 / 255],
            },
        },
        _CIFAR,
        3,
        1000,
    ),
    "cifar_resnet20": Case({"factory": f"{_ZOO}:cifar_resnet20", "normalize": _IMAGENET_STYLE}, _CIFAR, 3, 300),
}


@dataclass(frozen=True)
class Reference:
    """A line of the reference table: accuracies in %."""

    model: str
    eps: str
    step_size: str
    steps: int
    figures: dict[str, float]
    """Accuracy by column: clean, FGSM, PGD torchattacks, ..."""


def references(readme: str) -> list[Reference]:
    """Lines of the reference table in a README."""
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in readme.splitlines()]
    (head,) = (at for at, cells in enumerate(lines) if cells[0] == "model, eps, step, steps")
    found = []
    for cells in lines[head + 2 :]:
        if len(cells) != len(lines[head]):
            break
        model, eps, step_size, steps = (part.strip() for part in re.sub(r" \(.*\)$", "", cells[0]).split(","))
        figures = {name: float(cell) for name, cell in zip(lines[head][1:], cells[1:], strict=True) if cell != "-"}
        found.append(Reference(model, eps, step_size, int(steps), figures))
    return found


def measured(reference: Reference, data: Path, out: Path) -> list[dict[str, Any]]:
    """hardset's figures for one line of the table, one dictionary per figure."""
    case = CASES[reference.model]
    attacks: dict[str, dict[str, Any]] = {
        "FGSM": {"name": "fgsm"},
        "PGD torchattacks": {"name": "pgd", "steps": reference.steps, "step_size": reference.step_size},
        "APGD-CE": {"name": "apgd_ce", "steps": _APGD_STEPS},
    }
    wanted = {column: attack for column, attack in attacks.items() if column in reference.figures}
    job = parse_evaluation(
        {
            "name": "published",
            "source": {
                "format": "parquet",
                "path": str(data / case.file),
                "limit": case.rows,
                "channels": case.channels,
            },
            "classes": 10,
            "models": [
                {
                    "name": reference.model,
                    "weights": str(data / "weights" / f"{reference.model}.safetensors"),
                    **case.model,
                }
            ],
            "threats": [{"eps": reference.eps}],
            "attacks": [{**attack, "eps": reference.eps} for attack in wanted.values()],
            "corruptions": [],
            "shifts": [],
            "output": {"path": str(out)},
            "run": {"batch": 250, "cpus_per_actor": 2},
        }
    )
    record = evaluate(job).record
    assert record is not None
    (model,) = record.models
    told = [_line(reference, "clean", model.clean, model.clean)]
    for column, attack in zip(wanted, model.attacks, strict=True):
        (point,) = attack.points
        line = _line(reference, column, point.robust, point.float_robust)
        told.append(
            line | {"gradients_per_row": round(point.gradients / point.robust.of, 2), "seconds": attack.seconds}
        )
    return told


def _line(reference: Reference, column: str, stored: Share, floats: Share) -> dict[str, Any]:
    ours, theirs = 100 * stored.value, reference.figures[column]
    return {
        "model": reference.model,
        "eps": reference.eps,
        "step_size": reference.step_size,
        "steps": reference.steps,
        "rows": stored.of,
        "attack": column,
        "stored": round(ours, 2),
        "interval": [round(100 * stored.low, 2), round(100 * stored.high, 2)],
        "before_rounding": round(100 * floats.value, 2),
        "reference": theirs,
        "points_off": round(ours - theirs, 2),
        "within": abs(ours - theirs) <= TOLERANCE + 1e-9,
    }


def page(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "# `hardset evaluate` on published models",
        "",
        "Made by `python -m benchmarks.evaluation`; the numbers are in `evaluation.json`. Accuracy in %, first rows of "
        "the test sets, one random start. hardset judges the stored 8-bit images; the reference is the accuracy under "
        "torchattacks (PGD, FGSM) and the AutoAttack authors' code (APGD-CE) on float images.",
        f"torch {found['versions']['torch']}, Python {found['versions']['python']}.",
        "",
        "| model, eps, step, steps | rows | attack | hardset, stored | 95 % interval | hardset, float | reference | "
        f"off | within {TOLERANCE} points |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in found["figures"]:
        case = f"{line['model']}, {line['eps']}, {line['step_size']}, {line['steps']}"
        low, high = line["interval"]
        lines.append(
            f"| {case} | {line['rows']:,} | {line['attack']} | {line['stored']:.1f} | {low:.1f} to {high:.1f} "
            f"| {line['before_rounding']:.1f} | {line['reference']:.1f} | {line['points_off']:+.1f} "
            f"| {'yes' if line['within'] else '**no**'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluates every line of the table, prints the figures and writes the JSON and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=sorted(CASES))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/evaluation.json"))
    asked = parser.parse_args()
    figures: list[dict[str, Any]] = []
    for reference in references((asked.data / "README.md").read_text(encoding="utf-8")):
        if reference.model in asked.only:
            with tempfile.TemporaryDirectory() as out:
                figures += measured(reference, asked.data, Path(out))
    found = {"versions": versions(), "tolerance_points": TOLERANCE, "figures": figures}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    asked.out.with_suffix(".md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
