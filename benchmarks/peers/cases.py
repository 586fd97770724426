"""What is made: recipes, rows, models and steps that every contender is given alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CIFAR, PHOTOGRAPHS = "cifar10_test_jpeg.parquet", "imagenet250.parquet"
WEIGHTS = "weights/cifar_resnet20.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, ACTORS, BATCH = 10, 2, 256
STEP = 2 / 255
SIDE = 224


@dataclass(frozen=True)
class Case:
    """One thing to make."""

    name: str
    title: str
    data: str
    """File of rows in the folder of real data."""
    rows: int
    attack: str | None
    """`fgsm` or `pgd`; None: RandAugment."""
    steps: int
    budgets: tuple[int, ...]
    """Budgets in 8-bit levels, Linf."""
    peers: tuple[str, ...]

    @property
    def made(self) -> int:
        """Number of rows that come out."""
        return self.rows * max(1, len(self.budgets))


CASES = {
    case.name: case
    for case in (
        Case("pgd", "PGD-10, all steps", CIFAR, 512, "pgd", 10, (8,), ("ray_torchattacks", "ray_foolbox", "pool_loop")),
        Case("fgsm", "FGSM", CIFAR, 512, "fgsm", 1, (8,), ("ray_torchattacks", "ray_foolbox", "pool_loop")),
        Case("budgets", "PGD-10 at 8 budgets", CIFAR, 512, "pgd", 10, tuple(range(1, 9)), ("ray_torchattacks",)),
        Case("randaugment", "RandAugment at 224 px", PHOTOGRAPHS, 240, None, 0, (), ("ray_albumentations",)),
    )
}


def job_document(case: Case, data: str, out: str, rows: int, **run: Any) -> dict[str, Any]:
    """The job file of a case: what its recipe needs, and the defaults for all else. `data`: the folder of real data."""
    document: dict[str, Any] = {
        "name": f"peers-{case.name}",
        "source": {"format": "parquet", "path": f"{data}/{case.data}", "limit": rows},
        "output": {"path": out, "shard_rows": min(BATCH, rows // ACTORS)},
        "run": {"actors": ACTORS, "batch": BATCH, **run},
    }
    if case.attack is None:
        document["source"] |= {"size": SIDE}
        return document | {"recipes": [{"kind": "augment", "ops": [{"name": "rand_augment"}]}]}
    budgets: Any = [f"{levels}/255" for levels in case.budgets]
    recipe = {"kind": "attack", "name": case.attack, "eps": budgets if len(budgets) > 1 else budgets[0]}
    if case.attack == "pgd":
        recipe |= {"steps": case.steps, "step_size": STEP}
        if len(case.budgets) > 1:
            recipe |= {"stop": "success"}
    model = {
        "factory": "hardset.pipeline.models.zoo:cifar_resnet20",
        "weights": f"{data}/{WEIGHTS}",
        "classes": CLASSES,
        "normalize": {"mean": list(MEAN), "std": list(STD)},
    }
    return document | {"model": model, "recipes": [recipe]}
