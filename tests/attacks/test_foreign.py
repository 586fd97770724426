"""Attacks of other libraries and functions as recipes: what comes back becomes rows of the contract, or a sentence."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.declared import attack_code, attack_text, declaration_of, resolved
from hardset.pipeline.attacks.generators import own_generators, seed_of
from hardset.pipeline.attacks.libraries import LIBRARIES, Library
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.evaluation.measure import evaluated
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.rows.flags import flags_of
from hardset.testing import RecipeExample, check_recipe
from tests.support import job_of, make_here

HERE = __name__


def noisy(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int, share: float = 1.0) -> Tensor:
    """One sign step and noise from all three global generators, and the mean of the batch, as libraries may."""
    images.requires_grad_(True)
    (slope,) = torch.autograd.grad(F.cross_entropy(model(images), labels), images)
    noise = torch.rand_like(images) + random.random() + np.random.rand() + np.random.default_rng().random()
    change = slope.sign() + torch.sin(99 * (noise + images.mean()))
    return (images.detach() + share * eps * change / 2).clamp(0, 1)


def far(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    """Every second row leaves its budget."""
    change = torch.where(torch.arange(len(images)) % 2 == 0, eps, 3 * eps)
    return (images + change.view(-1, 1, 1, 1) * signs(model, images, labels)).clamp(0, 1)


def barely(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    """Every second row leaves its budget by a hundredth, the others by what float32 sums may."""
    share = torch.where(torch.arange(len(images)) % 2 == 0, 1 + 1e-6, 1.01)
    return images + (share * eps).view(-1, 1, 1, 1) * torch.where(images < 0.5, 1, -1)


def signs(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    at = images.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(F.cross_entropy(model(at), labels), at)
    return slope.sign()


def aimed(
    model: Any, images: Tensor, labels: Tensor, *, targets: Tensor | None = None, eps: float, seed: int
) -> Tensor:
    """Away from the label, or towards the target."""
    if targets is None:
        return (images + eps * signs(model, images, labels)).clamp(0, 1)
    return (images - eps * signs(model, images, targets)).clamp(0, 1)


def by_score(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    """The better of two random steps, by the model's outputs alone."""
    best, lowest = images, torch.full((len(images),), torch.inf)
    with torch.no_grad():
        for _ in range(2):
            tried = (images + eps * torch.randn_like(images).sign()).clamp(0, 1)
            score = model(tried).gather(1, labels[:, None])[:, 0]
            best = torch.where((score < lowest).view(-1, 1, 1, 1), tried, best)
            lowest = torch.minimum(score, lowest)
    return best


def broken_by_budget(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    """The first row of a batch comes back as NaN in the larger budget."""
    images[0] += torch.nan if eps > 3 / 255 else 0
    return images


def half_nan(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    images[::2, 0, 0, 0] = torch.nan
    return images


def smaller(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    return images[:, :, 1:]


def levels(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    return images * 255


def whole(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    return (images * 255).to(torch.uint8)


def nothing(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> None:
    return None


def raises(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    raise ValueError("no such thing")


CALLS: list[int] = []


def remembers(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    CALLS.append(1)
    return images + eps * (len(CALLS) % 7) / 7


def trains(model: Any, images: Tensor, labels: Tensor, *, eps: float, seed: int) -> Tensor:
    model.train()
    assert not any(part.training for part in model.modules())
    return images


def without_seed(model: Any, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    return images


def example(function: str, **changes: Any) -> RecipeExample:
    return RecipeExample({"kind": "attack", "name": f"{HERE}:{function}", "eps": "8/255", **changes})


def test_a_function_is_held_to_all_laws_but_that_of_rows_alone() -> None:
    check_recipe(example("noisy"))
    check_recipe(example("noisy", norm="l2", eps=0.5, settings={"share": 2.0}))


def test_its_rows_depend_on_their_shard_which_flags_say() -> None:
    made, fewer = example("noisy").made, example("noisy").make(np.arange(3))
    assert not np.array_equal(made.pixels[:3], fewer.pixels)
    assert all("shard_bound" in flags_of(text) for text in made.columns["flags"])
    assert made.columns["steps"].tolist() == [1] * 10
    assert made.columns["queries"].tolist() == [0] * 10


def test_what_leaves_the_budget_is_cut_back_and_flagged() -> None:
    made = example("far").made
    cut = ["cut_back" in flags_of(text) for text in made.columns["flags"]]
    assert cut == [False, True] * 5
    change = np.abs(made.pixels.astype(int) - example("far").clean.pixels).reshape(10, -1).max(axis=1)
    assert change.tolist() == [8] * 10


def test_what_leaves_the_budget_by_more_than_sums_do_is_flagged() -> None:
    cut = ["cut_back" in flags_of(text) for text in example("barely").made.columns["flags"]]
    assert cut == [False, True] * 5


def test_a_success_that_storing_takes_is_flagged() -> None:
    found = RecipeExample({"kind": "attack", "name": f"{HERE}:far", "eps": "3/255"}, rows=64)
    made = found.made
    with torch.no_grad():
        stored = found.network(torch.from_numpy(made.pixels).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    fooled = np.asarray(made.columns["float_pred"]) != found.clean.labels
    lost = np.array(["lost_in_storing" in flags_of(text) for text in made.columns["flags"]])
    np.testing.assert_array_equal(lost, fooled & (stored == found.clean.labels))
    assert lost.any()


def test_rows_without_pixels_go_to_quarantine_alone() -> None:
    made = example("half_nan").made
    assert [reject.index for reject in made.rejects] == [0, 2, 4, 6, 8]
    assert made.parents.tolist() == [1, 3, 5, 7, 9]
    assert made.rejects[0].message == f"{HERE}:half_nan gives NaN or infinity among the row's pixels"


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        ("smaller", JobError, r"gives images of shape \(4, 3, 7, 8\); wants \(4, 3, 8, 8\), that of its input$"),
        ("levels", JobError, r"gives values from 0 to 255; wants images in \[0, 1\], as it is given$"),
        ("whole", JobError, r"gives torch.uint8; wants floats in \[0, 1\]$"),
        ("nothing", JobError, r"gives a NoneType; wants a tensor of images of shape \(4, 3, 8, 8\)$"),
        ("raises", RunError, r"raises fails: ValueError: no such thing$"),
    ],
)
def test_what_is_no_batch_of_images_is_told(function: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        _ = example(function).made


def test_several_budgets_make_a_row_each_as_alone() -> None:
    found = example("aimed", eps=["0/255", "2/255", "8/255"])
    check_recipe(found)
    made = found.made
    assert made.variants.tolist() == [0, 1, 2] * 10
    np.testing.assert_allclose(made.columns["eps"], [0, 2 / 255, 8 / 255] * 10)
    for at, eps in enumerate(("0/255", "2/255", "8/255")):
        alone = example("aimed", eps=eps).made
        np.testing.assert_array_equal(made.pixels[at::3], alone.pixels)
        for name in ("flags", "steps", "float_pred"):
            assert np.asarray(made.columns[name])[at::3].tolist() == np.asarray(alone.columns[name]).tolist()


def test_a_row_that_one_budget_loses_is_lost() -> None:
    made = example("broken_by_budget", eps=["2/255", "8/255"]).made
    assert [reject.index for reject in made.rejects] == [0, 4, 8]  # batches are of four
    assert made.parents.tolist() == [at for at in range(10) if at % 4 for _ in range(2)]


@pytest.mark.parametrize("target", ["next", "random", "least_likely", 2])
def test_a_function_is_told_the_class_to_reach(target: Any) -> None:
    found = example("aimed", eps="24/255", target=target)
    check_recipe(found)
    made, labels = found.made, found.clean.labels
    aims = np.asarray(made.columns["target_label"])
    if target == "next":
        assert aims.tolist() == ((labels + 1) % 5).tolist()
    elif target == 2:
        assert set(aims.tolist()) == {2}
    else:
        assert (aims != labels).all()
    own = ["target_is_label" in flags_of(text) for text in made.columns["flags"]]
    assert own == (aims == labels).tolist()
    np.testing.assert_array_equal(made.pixels[own], found.clean.pixels[own])
    chosen = torch.arange(10), torch.from_numpy(aims)
    with torch.no_grad():
        before, after = (
            found.network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).log_softmax(1)[chosen]
            for pixels in (found.clean.pixels, made.pixels)
        )
    assert bool((after > before)[~torch.tensor(own)].all())


def test_all_budgets_of_a_row_share_its_target() -> None:
    aims = np.asarray(example("aimed", eps=["2/255", "8/255"], target="random").made.columns["target_label"])
    assert aims[::2].tolist() == aims[1::2].tolist()
    assert len(set(aims.tolist())) > 1


def test_the_model_stays_in_eval_mode_whatever_is_asked_of_it() -> None:
    assert len(example("trains").made) == 10


def test_skipped_rows_are_not_handed_over() -> None:
    found = example("noisy", misclassified="skip")
    found.clean.labels[:2] = (found.clean.labels[:2] + 1) % 5
    made = found.made
    assert ["misclassified" in flags_of(text) for text in made.columns["flags"]] == [True] * 2 + [False] * 8
    np.testing.assert_array_equal(made.pixels[:2], found.clean.pixels[:2])
    assert made.columns["steps"].tolist() == [0] * 2 + [1] * 8


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (
            {"name": f"{HERE}:without_seed"},
            r"name: .*without_seed takes \(model.*\) -> .*; wants \(model, images, labels",
        ),
        ({"settings": {"shar": 1}}, r"settings\.shar: .*noisy has no such argument; did you mean share\?"),
        ({"settings": {"eps": 1}}, r"settings\.eps: stands in the recipe itself, beside name: eps"),
        ({"settings": {"seed": 1}}, r"settings\.seed: .* is given its seed by hardset"),
        ({"settings": {"model": 1}}, r"settings: .*noisy cannot be called with them: multiple values"),
        ({"steps": 4}, r"steps: .*noisy takes no steps, as another library's; its own arguments stand under settings"),
        ({"target": "next"}, r"target: .*noisy has no argument targets, which would be given int64 classes"),
        ({"eps": {"min": "1/255", "max": "2/255"}}, r"eps: .*noisy is given one budget for all rows; wants one number"),
        ({"eps": ["1/255", "2/255"], "chain": True}, r"chain: .*noisy starts anew at every budget; leave chain out"),
        ({"name": f"{HERE}:aimed", "settings": {"targets": 1}}, r"settings\.targets: stands in the recipe .*: target"),
        ({"name": f"{HERE}:nosy"}, r"name: .*test_foreign has no nosy; did you mean noisy\?"),
        ({"name": f"{HERE}:HERE"}, r"name: .*HERE is a str; wants a .*AttackDeclaration"),
        ({"name": f"{HERE}:RecipeExample"}, r"name: .*RecipeExample is a type; wants a .*AttackDeclaration"),
    ],
)
def test_faults_of_a_recipe_are_told_when_it_is_planned(recipe: dict[str, Any], text: str) -> None:
    spec = Attack.model_validate({"name": f"{HERE}:noisy", "eps": "8/255", **recipe})
    with pytest.raises(JobError, match=rf"^attack\.{text}"):
        resolved(spec, 10)


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_a_library_that_is_not_installed_is_named_with_what_to_do(prefix: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[prefix].module, None)
    package = LIBRARIES[prefix].package
    with pytest.raises(JobError, match=rf"^name: wants {package}, which is not installed here .*pip install {package}"):
        declaration_of(f"{prefix}:PGD")


class Step:
    """An attack as libraries have them: made with the model and its settings, then called."""

    def __init__(self, model: Any, norm: float, eps: float = 0.3, alpha: float = 0.1, verbose: bool = True) -> None:
        if alpha > eps:
            raise ValueError("alpha has to be at most eps")
        self.given = (norm, eps, alpha, verbose)
        self.model = model

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        return images + self.given[2] * signs(self.model, images, labels)


@pytest.fixture
def library(monkeypatch) -> Iterator[str]:
    """A library of one attack, in the table as all others are."""
    module = ModuleType("steps_of_others")
    module.Step, module.number = Step, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "steps_of_others", module)
    made: list[Step] = []

    def make(attack: Any, lent: Any, arguments: Any) -> Any:
        made.append(attack(lent.model, **arguments))
        return lambda images, labels, targets, seed: made[-1](images, labels)

    norms = {"linf": np.inf, "l2": 2, "l1": 1}
    row = Library(
        "steps-of-others", "steps_of_others", "steps_of_others", make, ("eps",), norms, aims=lambda attack: False
    )
    monkeypatch.setattr("hardset.pipeline.attacks.libraries.LIBRARIES", {**LIBRARIES, "steps": row})
    monkeypatch.setattr("hardset.pipeline.attacks.declared.code_of", lambda path: {"distribution": path})
    Step.made = made  # type: ignore[attr-defined]
    return "steps:Step"


def test_a_library_is_given_budget_norm_and_settings_of_the_recipe(library: str) -> None:
    found = RecipeExample(
        {"kind": "attack", "name": library, "eps": "8/255", "norm": "l2", "settings": {"alpha": 0.01}}
    )
    check_recipe(found)
    assert Step.made[-1].given == (2, 8 / 255, 0.01, False)  # type: ignore[attr-defined]
    assert attack_code(library, "l2") == {"distribution": "steps_of_others", "foreign_code": 1}
    assert attack_text(found.declared)["settings"] == {"alpha": 0.01}
    assert "alpha" in declaration_of(library).summary


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("steps:Stop", {}, r"^attack\.name: steps_of_others has no Stop; did you mean Step\?"),
        ("steps:number", {}, r"^attack\.name: steps_of_others\.number is a int, and no attack"),
        ("steps:Step", {"norm": 2}, r"^attack\.settings\.norm: stands in the recipe itself, beside name: norm"),
        ("steps:Step", {"alfa": 2}, r"^attack\.settings\.alfa: steps:Step has no such argument; did you mean alpha\?"),
        (
            "steps:Step",
            {"targeted": True},
            r"^attack\.settings\.targeted: stands in the recipe itself, beside .*: target",
        ),
        ("steps:Step", {"alpha": 2}, r"^settings: steps:Step refuses them: ValueError: alpha has to be at most eps"),
    ],
)
def test_faults_of_a_library_are_told(library: str, name: str, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(JobError, match=text):
        RecipeExample({"kind": "attack", "name": name, "eps": "8/255", "settings": settings}).built()


def own_job(
    weights: dict[str, str], out: Path | str = "memory://none", *, model: dict[str, Any] | None = None, **changes: Any
) -> Any:
    recipe = {"kind": "attack", "name": f"{HERE}:noisy", "eps": "8/255", "settings": {"share": 1.0}}
    output = {"path": str(out), "shard_rows": 16}
    source = {"format": "digits", "limit": 40}
    sections = {"model": model} if model else {}
    return job_of(weights, out, recipes=[recipe | changes], source=source, output=output, run={"batch": 8}, **sections)


def test_a_dataset_of_them_verifies_is_made_again_and_replayed(weights, tmp_path: Path) -> None:
    manifest = make_here(own_job(weights, tmp_path))
    (text,) = manifest.recipes.values()
    assert text["code"]["foreign_code"] == 1
    assert len(text["code"]["sha256"]) == 64
    folder, vouched = Folder(str(tmp_path)), Trust(job=own_job(weights, tmp_path))
    assert verify(folder, sample=None, replay=None, trust=vouched).faults == []
    some = verify(folder, sample=0, replay=5, trust=vouched)
    assert (some.faults, some.remade) == ([], 5)
    rows = ds.dataset(tmp_path / "data", format="parquet").to_table()
    assert set(rows["found_by"].to_pylist()) == {f"{HERE}:noisy"}
    for at in (0, 20, 39):
        assert replay(folder, rows["row_id"][at].as_py(), trust=vouched).equal


def test_a_run_stops_before_it_starts_where_calls_differ(weights) -> None:
    job = own_job(weights, name=f"{HERE}:remembers", settings=None)
    with pytest.raises(JobError, match=r"remembers: gives other images when it is called again from the same seeds"):
        check_before(job, make_plan(job))
    job = own_job(weights)
    check_before(job, make_plan(job))


@pytest.mark.parametrize(
    "changes", [{"eps": ["2/255", "8/255"]}, {"target": "random"}, {"target": 3, "eps": ["2/255", "0.1"]}]
)
def test_budgets_and_targets_are_verified_and_replayed(weights, tmp_path: Path, changes: dict[str, Any]) -> None:
    job = own_job(weights, tmp_path, name=f"{HERE}:aimed", settings=None, **changes)
    make_here(job)
    folder, vouched = Folder(str(tmp_path)), Trust(job=job)
    found = verify(folder, sample=None, replay=None, trust=vouched)
    assert found.faults == []
    rows = ds.dataset(tmp_path / "data", format="parquet").to_table()
    assert found.remade == len(rows) == 40 * (2 if "eps" in changes else 1)
    assert replay(folder, rows["row_id"][21].as_py(), trust=vouched).equal
    targeted = "target" in changes
    assert all((one is not None) == targeted for one in rows["target_label"].to_pylist())


def test_what_asks_for_no_gradient_is_found_out_and_runs_on_a_black_box(weights, tmp_path: Path) -> None:
    model = {"factory": "tests.models.factories:detached", "classes": 10}
    check = {"settings": None, "model": model}
    job = own_job(weights, tmp_path, name=f"{HERE}:by_score", **check)
    assert not any("gradient" in text for text in check_before(job, make_plan(job)).warnings)
    make_here(job)
    assert verify(Folder(str(tmp_path)), sample=None, replay=None, trust=Trust(job=job)).faults == []
    job = own_job(weights, name=f"{HERE}:aimed", **check)
    with pytest.raises(JobError, match=r"^model\.factory: no gradient gets from the logits back to the image"):
        check_before(job, make_plan(job))
    job = own_job(weights, name=f"{HERE}:raises", settings=None)
    with pytest.raises(RunError, match="raises fails: ValueError: no such thing"):
        check_before(job, make_plan(job))


def test_evaluations_want_an_attack_of_hardset(weights) -> None:
    spec = evaluated(Attack.model_validate({"name": f"{HERE}:noisy", "eps": "8/255"}), 10)
    with pytest.raises(JobError, match=r"noisy: makes its images by itself, so that it is a recipe of `generate`"):
        stages_of(spec, 10)


def test_generators_are_seeded_and_put_back() -> None:
    def drawn() -> list[float]:
        numpy = np.random.default_rng().random(), np.random.RandomState().rand()
        return [random.random(), np.random.rand(), float(torch.rand(())), *numpy]

    def seeded() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seeded()
    wanted = drawn()[:3]
    seeded()
    with own_generators(7, torch.device("cpu")):
        first = drawn()
    assert drawn()[:3] == wanted
    with own_generators(7, torch.device("cpu")):
        assert drawn() == first
    with own_generators(8, torch.device("cpu")):
        assert not set(drawn()) & set(first)
    assert np.random.default_rng().random() != np.random.default_rng().random()
    assert seed_of(np.array([1, 2])) != seed_of(np.array([2, 1]))
