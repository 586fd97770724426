"""hardset's engine as the benchmarks call it: as a recipe that stores rows, and as a bare search like the libraries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from benchmarks.attacks.cases import Settings, Subject
from numpy.typing import NDArray

from hardset.pipeline.attacks.composition import Stage, in_floats, stages_of
from hardset.pipeline.attacks.engine import Engine
from hardset.pipeline.attacks.network import SearchNetwork, search_network
from hardset.pipeline.attacks.program import ProgramOutcome, run_program
from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.attacks.search import SearchOutcome, SearchRows
from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.reading.loading import parse_job

Stop = Literal["success", "never"]


@dataclass(frozen=True)
class Mode:
    """How the search executes the model."""

    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, compiled" if self.compile else self.precision


MODES = (Mode(), Mode("bfloat16"), Mode("bfloat16", compile=True))


def seeds_of(rows: int, start: int = 0) -> NDArray[np.int64]:
    """Row seeds, int64 (N,), different for every start."""
    return np.random.default_rng(start).integers(0, 2**63, rows, dtype=np.int64)


def spec_of(settings: Settings, stop: Stop, **more: Any) -> Attack:
    """Recipe of a job file for the same settings, with every setting explicit."""
    fixed = {} if settings.attack == "fgsm" else {"step_size": str(settings.step_size), "steps": settings.steps}
    common = {"name": settings.attack, "eps": str(settings.eps), "restarts": settings.restarts, "stop": stop}
    return Attack(**(common | fixed | more)).resolved()


def clean_rows(subject: Subject) -> CleanRows:
    """Rows as a source returns them."""
    keys = tuple(f"row#{number}" for number in range(len(subject)))
    return CleanRows(subject.pixels, subject.labels, keys, np.arange(len(subject)))


@dataclass(frozen=True)
class Searcher:
    """A model prepared once for searches without storing: the network is compiled at most once."""

    engine: Engine
    network: SearchNetwork
    """The model as the search executes it."""
    classes: int

    @staticmethod
    def of(subject: Subject, mode: Mode, batch: int, device: torch.device) -> Searcher:
        """The engine on a frozen copy of the subject's model."""
        module = subject.frozen().to(device)
        network = search_network(module, precision=mode.precision, compile=mode.compile, device=device)
        engine = Engine(module, batch, device, () if network.exact else (network,))
        return Searcher(engine, network, subject.classes)

    def run(self, subject: Subject, spec: Attack) -> SearchOutcome:
        """One search over all rows, on the 8-bit grid, as a job runs it."""
        (stage,) = stages_of(spec, self.classes)
        return self.engine.run(stage.search, self._rows(subject, stage, spec, in_float=False))

    def in_floats(self, subject: Subject, spec: Attack, start: int = 0) -> ProgramOutcome:
        """The attack in floats, off the 8-bit grid, in the exact eps ball, as the libraries run theirs."""
        stages = in_floats(stages_of(spec, self.classes))
        rows = self._rows(subject, stages[0], spec, in_float=True, start=start)
        logits = self.engine.logits(subject.images.to(self.engine.device))
        return run_program(self.engine, stages, rows, np.full(len(subject), float(spec.eps)), logits, 1)

    def _rows(self, subject: Subject, stage: Stage, spec: Attack, *, in_float: bool, start: int = 0) -> SearchRows:
        device, count, geometry = self.engine.device, len(subject), stage.search.geometry
        eps = np.full(count, float(spec.eps))
        return SearchRows(
            pixels=torch.from_numpy(subject.pixels).permute(0, 3, 1, 2).contiguous().to(device),
            labels=subject.targets.to(device),
            targets=torch.full((count, 1), -1, device=device),
            seeds=torch.from_numpy(seeds_of(count, start)).to(device),
            radius=eps if in_float else geometry.radius(eps),
            budget=geometry.budget(eps),
            step_size=np.full(count, np.nan if spec.step_size is None else float(spec.step_size)),
        )


def recipe_of(subject: Subject, spec: Attack, mode: Mode, batch: int, device: torch.device) -> AttackRecipe:
    """Recipe that a run makes rows with."""
    return AttackRecipe(
        spec,
        module=subject.frozen().to(device),
        classes=subject.classes,
        batch=batch,
        precision=mode.precision,
        device=device,
        compile=mode.compile,
    )


def make(recipe: AttackRecipe, subject: Subject, start: int = 0) -> MadeRows:
    """Makes all rows of the subject in one call."""
    seeds = seeds_of(len(subject) * recipe.variants, start).reshape(-1, recipe.variants)
    return recipe.make(clean_rows(subject), seeds)


def many_eps_spec(settings: Settings, eps: Sequence[Fraction]) -> Attack:
    """PGD to first success at several budgets in one recipe; the step size is the same fraction of each budget."""
    common = {"name": "pgd", "steps": settings.steps, "stop": "success"}
    return Attack(eps=[str(one) for one in eps], chain=True, **common).resolved()


def known(name: str) -> bool:
    """Whether job files accept an attack of this name."""
    return name in ATTACKS


def warnings_of(subject: Subject, spec: Attack) -> tuple[str, ...]:
    """Warnings that a job with this recipe prints before it starts."""
    document = {
        "name": "benchmark",
        "source": {"format": "npz", "path": "rows.npz"},
        "model": {"factory": "benchmarks.attacks:model", "weights": "w.safetensors", "classes": subject.classes},
        "recipes": [spec.model_dump(mode="json", exclude_unset=True) | {"kind": "attack"}],
        "output": {"path": "out"},
    }
    return job_warnings(parse_job(document))
