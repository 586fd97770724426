"""Natural changes as an attack: the worst of several draws, judged, stored, verified and made again like any attack."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from hardset.pipeline.attacks.recipe import LabelError
from hardset.pipeline.audit.explain import explain
from hardset.pipeline.audit.replay import EQUAL, replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.augment.recipe import replay_params
from hardset.pipeline.batches import CleanRows, MadeRows
from hardset.pipeline.dataset.records.ledger import latest_manifest
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.recipes.worst_of import WorstOfRecipe, replay_worst, seeds_of_try
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.worst_of import WorstOf
from hardset.schemas.rows.flags import flags_of
from tests.audit.forger import Forger
from tests.augment.test_recipe import made as augmented
from tests.support import hardset, job_of, last_json, make_here

CPU = torch.device("cpu")
OPS = ({"name": "rotate", "degrees": {"min": -40, "max": 40}}, {"name": "translate", "x": 0.2, "y": [-0.1, 0, 0.1]})
RECIPE = {"kind": "attack", "name": "worst_of", "ops": list(OPS), "tries": 6}
SHAPE = (8, 8, 1)


@cache
def digits() -> np.ndarray:
    return (load_digits().images[:60, :, :, None] * 255 / 16).round().astype(np.uint8)


@cache
def network() -> nn.Module:
    """Random weights, and biases that make each of four classes about as likely for digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))
    layers.eval().requires_grad_(False)
    layers[-1].bias -= torch.from_numpy(logits_of(layers, digits())).mean(dim=0)
    return layers


def clean_rows(count: int, labels: list[int] | None = None) -> CleanRows:
    pixels = digits()[:count]
    found = logits_of(network(), pixels).argmax(axis=1) if labels is None else np.array(labels, np.int64)
    return CleanRows(pixels, found, tuple(f"row#{i}" for i in range(count)), np.arange(count))


def logits_of(module: nn.Module, pixels: np.ndarray) -> np.ndarray:
    return module(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()


def seeds_of(count: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 2**63, (count, 1), np.int64)


def recipe(module: nn.Module | None = None, batch: int = 5, **settings: Any) -> WorstOfRecipe:
    spec = WorstOf.model_validate({**RECIPE, **settings})
    return WorstOfRecipe(spec, judge=Judge(module or network(), batch, CPU), classes=4, device=CPU)


def made(rows: CleanRows, **settings: Any) -> MadeRows:
    return recipe(**settings).make(rows, seeds_of(len(rows)))


def test_each_row_is_the_draw_of_largest_loss_among_those_that_the_model_errs_on() -> None:
    rows, tries = clean_rows(12), 6
    found = made(rows)
    numbers = [json.loads(str(text))["try"] for text in found.columns["params"]]
    for row, label in enumerate(rows.labels):
        drawn = [made_in(rows, row, number, found) for number in range(tries)]
        logits = torch.from_numpy(logits_of(network(), np.stack(drawn)))
        loss = F.cross_entropy(logits, torch.full((tries,), int(label)), reduction="none")
        errs = logits.argmax(dim=1) != label
        order = sorted(range(tries), key=lambda one: (bool(errs[one]), float(loss[one])))
        assert numbers[row] == order[-1]
        assert np.array_equal(found.pixels[row], drawn[order[-1]])
    assert len(set(numbers)) > 2


def made_in(rows: CleanRows, row: int, number: int, found: MadeRows) -> np.ndarray:
    """The row as a try makes it: by an augment recipe of the same operations, and the try's seed."""
    seed = seeds_of_try(seeds_of(len(rows))[row], number).numpy()[:, None]
    one = CleanRows(rows.pixels[[row]], rows.labels[[row]], ("one",), np.zeros(1, np.int64))
    return augmented(list(OPS), one, seed).pixels[0]


def test_more_tries_never_make_a_row_easier_and_keep_the_earlier_ones() -> None:
    rows = clean_rows(40)
    margins = [made(rows, tries=tries).columns["float_margin"] for tries in (1, 4, 16)]
    fooled = [(np.asarray(one) < 0).sum() for one in margins]
    assert fooled[0] < fooled[1] <= fooled[2]


def test_columns_tell_cost_and_verdict_and_no_norm() -> None:
    rows = clean_rows(9)
    columns = made(rows).columns
    assert set(columns["norm"]) == {"none"} and set(columns["found_by"]) == {"worst_of"}
    assert columns["eps"] == [None] * 9
    assert columns["steps"].tolist() == [0] * 9 and columns["queries"].tolist() == [6] * 9
    logits = logits_of(network(), made(rows).pixels)
    assert columns["float_pred"].tolist() == logits.argmax(axis=1).tolist()


def test_a_row_is_made_again_from_params_and_seed() -> None:
    rows, seeds = clean_rows(9), seeds_of(9)
    found = made(rows)
    for row in range(9):
        text = str(found.columns["params"][row])
        assert np.array_equal(replay_worst(rows.pixels[row], text, int(seeds[row, 0])), found.pixels[row])
        told = json.loads(text)
        own = int(seeds_of_try(seeds[row], told["try"])[0])
        assert np.array_equal(replay_params(rows.pixels[row], json.dumps(told["ops"]), own), found.pixels[row])


def test_rows_that_the_model_errs_on_stay_clean_where_the_job_says_so() -> None:
    right = clean_rows(8).labels
    labels = [int(label) if row % 2 else (int(label) + 1) % 4 for row, label in enumerate(right)]
    rows = clean_rows(8, labels)
    found = made(rows, misclassified="skip")
    for row in range(8):
        skipped = row % 2 == 0
        assert np.array_equal(found.pixels[row], rows.pixels[row]) == skipped
        assert flags_of(found.columns["flags"][row]) == (("misclassified",) if skipped else ())
        assert found.columns["queries"][row] == (0 if skipped else 6)
        assert (found.columns["params"][row] is None) == skipped
    assert None not in made(rows).columns["params"]


def test_what_changes_nothing_is_flagged_and_what_cannot_be_judged_is_rejected() -> None:
    rows = clean_rows(4)
    still = made(rows, ops=[{"name": "translate", "x": 0, "y": 0}])
    assert [flags_of(text) for text in still.columns["flags"]] == [("unmoved",)] * 4

    class Blind(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = network()(images)
            return torch.where(images.mean(dim=(1, 2, 3))[:, None] > 0.5, logits, float("nan"))

    assert [one.error_class for one in made(rows, module=Blind()).rejects][:1] in ([], ["NonFiniteError"])
    none = made(rows, ops=[{"name": "brightness", "amount": -1}], module=Blind())
    assert [one.error_class for one in none.rejects] == ["NonFiniteError"] * 4 and len(none) == 0


def test_impossible_labels_and_no_rows() -> None:
    rows = clean_rows(3, [0, 7, 2])
    found = made(rows)
    assert found.parents.tolist() == [0, 2]
    assert [(one.index, one.error_class) for one in found.rejects] == [(1, LabelError.__name__)]
    assert len(recipe().make(clean_rows(0, []), seeds_of(0))) == 0


@pytest.fixture(scope="module")
def dataset(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("worst") / "out"
    policy = {**RECIPE, "ops": [{"name": "one_of", "ops": list(OPS)}], "misclassified": "skip", "tries": 3}
    twin = {"name": "twin", "factory": "hardset.pipeline.models.zoo:small_cnn", "weights": weights["victim"]}
    digits = {"format": "digits", "limit": 40}
    make_here(job_of(weights, out, recipes=[RECIPE, policy], source=digits, transfer_to=[twin]))
    return out


TRUST = Trust(records=True)


def test_a_dataset_verifies_to_the_last_row_and_is_made_again(dataset: Path) -> None:
    found = verify(Folder(str(dataset)), sample=None, replay=None, trust=TRUST)
    assert (found.faults, found.rejudged, found.remade) == ([], 80, 80)


def test_rows_are_stored_judged_and_explained_as_of_any_attack(dataset: Path) -> None:
    folder = Folder(str(dataset))
    manifest = latest_manifest(folder)
    assert manifest is not None
    table = pq.read_table(str(dataset / "data"))
    rows = [row for row in table.to_pylist() if json.loads(row["params"] or "{}").get("try") is not None]
    assert {(row["kind"], row["op"], row["norm"], row["eps"]) for row in rows} == {
        ("adversarial", "worst_of", "none", None)
    }
    assert 0 < sum(row["success"] for row in rows) == sum(output.counts.success for output in manifest.outputs)
    told = explain(folder, rows[0]["row_id"])
    assert told["change"]["norm"] == "none" and told["params"] == rows[0]["params"]
    assert replay(folder, rows[0]["row_id"], trust=TRUST).result == EQUAL


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("params", lambda row: row["params"].replace('"try":', '"try":1'), "wants a try below 6"),
        ("params", lambda row: row["params"].replace('"degrees":', '"degrees":1'), "params are not what its seed"),
        ("params", lambda row: None, "wants a try below 6"),
        ("queries", lambda row: 7, "queries is 7; its recipe gives it 6"),
        ("steps", lambda row: 1, "steps is 1; its recipe gives it 0"),
        ("found_by", lambda row: "pgd", "found_by is 'pgd'"),
        ("flags", lambda row: "misclassified", "is flagged misclassified, and its columns say otherwise"),
        ("flags", lambda row: "no_rise", "is flagged no_rise, and its columns say otherwise"),
        ("norm", lambda row: "Linf", "eps is empty"),
        ("target_label", lambda row: 3, "target_label is filled in some rows"),
    ],
)  # fmt: skip
def test_a_lie_is_found_without_running_anything(
    dataset: Path, tmp_path: Path, column: str, value: Any, told: str
) -> None:
    forger = Forger(shutil.copytree(dataset, tmp_path / "out"))
    row = forger.rows[0][3]
    row[column] = value(row)
    forger.finish()
    faults = verify(Folder(str(tmp_path / "out")), sample=0).faults
    assert any(re.search(told, fault) for fault in faults), faults


def test_the_report_the_card_and_the_list_of_runs_tell_it(dataset: Path) -> None:
    report = hardset("report", dataset)
    assert report.returncode == 0, report.stderr
    page = next(dataset.rglob("report.html")).read_text(encoding="utf-8")
    assert "Worst of 6: rotate, translate" in page
    card = (dataset / "README.md").read_text(encoding="utf-8")
    assert "| worst_of | ops rotate+translate, tries 6 |" in card
    shown = hardset("show", dataset, "--limit", "3", "--json")
    assert last_json(shown)["rows"][0]["norm"] == "none"


def test_a_plan_tells_rows_and_refuses_what_does_not_suit_them(weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(weights, tmp_path / "out", recipes=[RECIPE], source={"format": "digits", "limit": 40})
    assert sum(shard.rows for shard in make_plan(job).shards) == 40
    hue = {**RECIPE, "ops": [{"name": "hue"}]}
    with pytest.raises(JobError, match=r"recipes\.0\.ops\.0\.name: hue changes colours, and rows have 1 channel"):
        make_plan(job_of(weights, tmp_path / "out", recipes=[hue]))
    bare = job_of(weights, tmp_path / "out", recipes=[{"kind": "augment", "ops": list(OPS)}])
    assert len(make_plan(bare).recipes) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"eps": "8/255"}, "recipes.0.eps: unknown key"),
        ({"ops": []}, "recipes.0.ops: got an empty list"),
        ({"ops": [{"name": "cutmix"}]}, "recipes.0.ops.0.name: cutmix mixes another row in"),
        ({"ops": [{"name": "rotate", "degrees": "far"}]}, "recipes.0.ops.0.degrees: got 'far'"),
        ({"tries": 0}, "recipes.0.tries: got 0; wants a whole number from 1 to 1000"),
        ({"name": "worst_off"}, "did you mean worst_of?"),
    ],
)
def test_faults_of_a_recipe_are_named(
    weights: dict[str, str], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(JobError) as caught:
        job_of(weights, tmp_path / "out", recipes=[{**RECIPE, **change}])
    assert told in str(caught.value)


def test_it_needs_a_model(weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(JobError, match="model: missing; attack recipes need the classifier under attack"):
        job_of(weights, tmp_path / "out", recipes=[RECIPE], model=None)
