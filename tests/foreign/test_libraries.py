"""The real libraries as recipes: held to the laws, made into datasets, made again and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch
from benchmarks.attacks.adapters import stand_ins

from hardset.pipeline.attacks.declared import attack_code, declaration_of, resolved
from hardset.pipeline.attacks.libraries import LIBRARIES
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.rows.flags import flags_of
from hardset.testing import RecipeExample, check_recipe
from tests.support import job_of, make_here

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
SUCCESS = 0.9
"""Share of rows that PGD of any of them fools a small network of random weights on, at the least."""

ATTACKS = {
    "art:ProjectedGradientDescent": ("linf", "16/255", {"eps_step": 0.02, "max_iter": 10, "num_random_init": 1}),
    "art:FastGradientMethod": ("linf", "16/255", {"eps_step": 0.06}),
    "art:AutoProjectedGradientDescent": ("linf", "16/255", {"eps_step": 0.02, "max_iter": 5}),
    "art:DeepFool": ("l2", "1", {"max_iter": 5}),
    "art:SquareAttack": ("linf", "16/255", {"max_iter": 20}),
    "art:HopSkipJump": ("l2", "2", {"max_iter": 2, "max_eval": 20, "init_eval": 5}),
    "torchattacks:PGD": ("linf", "16/255", {"steps": 10, "alpha": 0.02}),
    "torchattacks:APGD": ("l2", "1", {"steps": 5}),
    "torchattacks:CW": ("l2", "1", {"steps": 5}),
    "foolbox:LinfPGD": ("linf", "16/255", {"steps": 10, "abs_stepsize": 0.02}),
    "foolbox:L2DeepFoolAttack": ("l2", "1", {"steps": 5}),
    "foolbox:L2CarliniWagnerAttack": ("l2", "1", {"steps": 5, "binary_search_steps": 2}),
    "advlib:pgd_linf": ("linf", "16/255", {"steps": 10, "absolute_step_size": 0.02}),
    "advlib:ddn": ("l2", "1", {"steps": 10}),
    "advlib:fmn": ("linf", "16/255", {"steps": 10}),
    "advlib:apgd": ("linf", "16/255", {"n_iter": 5}),
}
PGD = ("art:ProjectedGradientDescent", "torchattacks:PGD", "foolbox:LinfPGD", "advlib:pgd_linf")


@pytest.fixture(autouse=True)
def _parts_that_no_attack_needs() -> Iterator[None]:
    with stand_ins("visdom", "torchvision"):  # adv-lib imports both, and its attacks use neither
        yield


def recipe(name: str, **changes: Any) -> dict[str, Any]:
    norm, eps, settings = ATTACKS[name]
    return {"kind": "attack", "name": name, "norm": norm, "eps": eps, "settings": settings} | changes


@pytest.mark.parametrize("name", ATTACKS)
def test_it_keeps_the_laws_but_that_of_rows_alone(name: str) -> None:
    check_recipe(RecipeExample(recipe(name)))


@pytest.mark.parametrize("name", PGD)
def test_pgd_of_every_library_moves_rows_as_that_of_hardset_does(name: str) -> None:
    theirs = RecipeExample(recipe(name), rows=40)
    ours = RecipeExample({"kind": "attack", "name": "pgd", "eps": "16/255", "steps": 10, "step_size": 0.02}, rows=40)

    def loss(example: RecipeExample) -> float:
        images = torch.from_numpy(example.made.pixels).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            logits = example.network(images)
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(example.clean.labels)))

    rest = RecipeExample(recipe(name, eps="1/1000"), rows=40)
    assert not any("cut_back" in flags_of(text) for text in theirs.made.columns["flags"])
    assert loss(theirs) - loss(rest) > SUCCESS * (loss(ours) - loss(rest))


@pytest.mark.parametrize("name", PGD)
def test_a_dataset_of_it_is_verified_made_again_and_replayed(name: str, weights, tmp_path: Path) -> None:
    job = job_of(
        weights,
        tmp_path,
        recipes=[recipe(name)],
        source={"format": "digits", "limit": 40},
        output={"path": str(tmp_path), "shard_rows": 16},
        run={"batch": 8},
    )
    manifest = make_here(job)
    (text,) = manifest.recipes.values()
    package = LIBRARIES[name.partition(":")[0]].package
    assert text["code"]["distribution"].replace("_", "-").startswith(f"{package} ")
    folder, vouched = Folder(str(tmp_path)), Trust(job=job)
    found = verify(folder, sample=None, replay=None, trust=vouched)
    assert (found.faults, found.remade) == ([], 40)
    rows = ds.dataset(tmp_path / "data", format="parquet").to_table()
    assert replay(folder, rows["row_id"][20].as_py(), trust=vouched).equal
    assert np.mean(rows["success"].to_pylist()) > 0
    assert all("shard_bound" in flags_of(flags) for flags in rows["flags"].to_pylist())


@pytest.mark.parametrize("name", PGD)
def test_several_budgets_and_a_target_keep_the_laws(name: str) -> None:
    check_recipe(RecipeExample(recipe(name, eps=["4/255", "16/255"], target="next")))


@pytest.mark.parametrize("name", PGD)
def test_an_attack_moves_rows_towards_its_target(name: str) -> None:
    wide = {"eps": "1", "settings": {"steps": 40, "absolute_step_size": 0.1}} if name.startswith("advlib") else {}
    found = RecipeExample(
        recipe(name, target="next", **wide), rows=40
    )  # adv-lib gives the clean image unless it arrives
    made = found.made
    aims = torch.from_numpy(np.asarray(made.columns["target_label"]))
    with torch.no_grad():
        before, after = (
            found.network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).log_softmax(1)
            for pixels in (found.clean.pixels, made.pixels)
        )
    rows = torch.arange(len(aims))
    assert aims.tolist() == ((found.clean.labels + 1) % found.classes).tolist()
    moved = torch.from_numpy((made.pixels != found.clean.pixels).any(axis=(1, 2, 3)))
    assert (after[rows, aims] > before[rows, aims])[moved].float().mean() > SUCCESS
    assert moved.float().mean() > (0.1 if name.startswith("advlib") else SUCCESS)


@pytest.mark.parametrize("name", ["art:DeepFool", "torchattacks:DeepFool"])
def test_an_attack_that_takes_no_target_says_so(name: str) -> None:
    norm, eps, settings = ATTACKS.get(name, ("l2", "1", {}))
    spec = {"kind": "attack", "name": name, "norm": norm, "eps": eps, "settings": settings, "target": "next"}
    with pytest.raises((JobError, RunError), match=r"target|Target|criterion"):
        RecipeExample(spec).built().try_out(RecipeExample(spec).clean.pixels)


SCORED = {
    "art:SquareAttack": ("linf", "24/255", {"max_iter": 20}),
    "art:HopSkipJump": ("l2", "2", {"max_iter": 2, "max_eval": 20, "init_eval": 5}),
    "torchattacks:Square": ("linf", "24/255", {"n_queries": 20}),
    "foolbox:BoundaryAttack": ("l2", "2", {"steps": 5}),
    "foolbox:L2RepeatedAdditiveGaussianNoiseAttack": ("l2", "2", {"repeats": 5}),
}
"""Attacks by the model's outputs alone."""


@pytest.mark.parametrize("name", SCORED)
def test_an_attack_by_score_runs_on_a_black_box(name: str, weights, tmp_path: Path) -> None:
    norm, eps, settings = SCORED[name]
    job = black_box({"kind": "attack", "name": name, "norm": norm, "eps": eps, "settings": settings}, weights, tmp_path)
    assert not any("gradient" in text for text in check_before(job, make_plan(job)).warnings)
    make_here(job)
    assert verify(Folder(str(tmp_path)), sample=None, replay=None, trust=Trust(job=job)).faults == []
    rows = ds.dataset(tmp_path / "data", format="parquet").to_table()
    assert set(rows["steps"].to_pylist()) == {0}
    assert max(rows["queries"].to_pylist()) > 1


@pytest.mark.parametrize("name", PGD)
def test_an_attack_by_gradient_is_refused_on_a_black_box(name: str, weights, tmp_path: Path) -> None:
    job = black_box(recipe(name), weights, tmp_path)
    with pytest.raises(JobError, match="no gradient gets from the logits back to the image"):
        check_before(job, make_plan(job))


def black_box(attack: dict[str, Any], weights, out: Path) -> Any:
    return job_of(
        weights,
        out,
        model={"factory": "tests.models.factories:detached", "classes": 10},
        recipes=[attack],
        source={"format": "digits", "limit": 12},
        output={"path": str(out), "shard_rows": 6},
        run={"batch": 6},
    )


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("art:ProjectedGradientDecent", {}, r"attack\.name: .* did you mean ProjectedGradientDescent\?"),
        ("art:ProjectedGradientDescent", {"steps": 5}, r"attack\.settings\.steps: .* has no such argument"),
        ("art:ProjectedGradientDescent", {"eps_step": "a"}, r"settings: .* refuses them"),
        ("torchattacks:PGD", {"step": 5}, r"did you mean steps\?"),
        ("foolbox:LinfPGD", {"step": 5}, r"did you mean steps\?"),
        ("advlib:ddn", {"step": 5}, r"did you mean steps\?"),
    ],
)
def test_faults_of_a_recipe_are_told(name: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(JobError, match=text):
        RecipeExample({"kind": "attack", "name": name, "eps": "16/255", "settings": settings}).built()


@pytest.mark.parametrize("name", PGD)
def test_its_declaration_and_code_name_library_and_version(name: str) -> None:
    library = LIBRARIES[name.partition(":")[0]]
    assert library.told in declaration_of(name).summary
    spec = resolved(Attack.model_validate(recipe(name)), 10)
    code = attack_code(spec.name, spec.norm)
    assert isinstance(code, dict)
    assert len(code["sha256"]) == 64
